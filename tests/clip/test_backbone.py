"""The backbone: how it is loaded and hashed, and which ones are refused."""

import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

import adapt
from adapt import config as params
from adapt.clip import attention, model_configs, weights
from adapt.clip import backbone as clip
from adapt.errors import UserError
from adapt.pipeline import backbone as of_stages
from adapt.pipeline.params import load
from adapt.settings import resolution
from tests.project import ROOT

TINY = Path(__file__).parents[1] / "models"


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A models/ folder with the tiny architecture and random weights for it."""
    monkeypatch.setattr(model_configs, "FOLDER", tmp_path)
    model_configs.config_paths.cache_clear()
    (tmp_path / "tiny.json").write_text((TINY / "tiny.json").read_text(encoding="utf-8"), encoding="utf-8")
    open_clip.add_model_config(tmp_path / "tiny.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("tiny").state_dict(), tmp_path / "tiny.safetensors")
    yield tmp_path
    model_configs.config_paths.cache_clear()


def test_loaded_model_is_frozen_and_in_evaluation_mode(models):
    model = clip.load("tiny", str(models / "tiny.safetensors"), "cpu").model
    assert not model.training and not any(weight.requires_grad for weight in model.parameters())


def test_quick_gelu_is_open_clips_in_values_and_gradients():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    ours, theirs = attention.QuickGELU()(x), open_clip.transformer.QuickGELU()(x)
    torch.testing.assert_close(ours, theirs)
    gradients = (torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(*gradients)


def test_quick_gelu_keeps_one_tensor():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        attention.QuickGELU()(torch.ones(3, requires_grad=True))
    assert len(kept) == 1


def test_frozen_model_has_the_lean_activation():
    model = open_clip.create_model("ViT-B-32-quickgelu")
    clip.freeze("ViT-B-32-quickgelu", model, torch.device("cpu"))
    kinds = {type(block.mlp.gelu) for tower in (model, model.visual) for block in tower.transformer.resblocks}
    assert kinds == {attention.QuickGELU}


def test_layers_and_widths_are_by_branch(models):
    backbone = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    assert backbone.layers == {"text": 3, "image": 2} == model_configs.layers("tiny")
    assert backbone.widths == {"text": 32, "image": 48}


def test_hash_is_of_the_weights(models):
    first = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    again = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    with torch.no_grad():
        again.model.visual.proj[0, 0] += 1
    assert first.weights == clip.weights_hash(first.model) != clip.weights_hash(again.model)


def test_missing_weights_are_refused(models):
    with pytest.raises(UserError, match="pretrained: there is no file .*none.safetensors"):
        clip.load("tiny", str(models / "none.safetensors"), "cpu")


def test_unknown_tag_is_refused_with_the_nearest(models):
    with pytest.raises(UserError, match="pretrained: tiny has no weights called 'opnai'; it has no tags"):
        clip.load("tiny", "opnai", "cpu")
    with pytest.raises(UserError, match="ViT-B-16-quickgelu has no weights called 'opnai'; did you mean 'openai'"):
        clip.load("ViT-B-16-quickgelu", "opnai", "cpu")


def test_weights_of_another_architecture_are_refused(models):
    config = json.loads((models / "tiny.json").read_text(encoding="utf-8"))
    config["text_cfg"]["layers"] = 4
    (models / "deeper.json").write_text(json.dumps(config), encoding="utf-8")
    model_configs.config_paths.cache_clear()
    with pytest.raises(UserError, match=r"cannot load .*tiny.safetensors as weights of deeper .*give weights of that"):
        clip.load("deeper", str(models / "tiny.safetensors"), "cpu")


def test_truncated_weights_are_refused(models):
    path = models / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot load .*tiny.safetensors"):
        clip.load("tiny", str(path), "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(UserError, match="device: cuda asked for, but torch sees no GPU"):
        clip.choose_device("cuda")


def test_gpu_of_a_mac_is_refused():
    with pytest.raises(UserError, match="device: mps asked for, but a Mac's GPU is not supported; set it to auto"):
        clip.choose_device("mps")


def test_architectures_are_read_without_importing_open_clip():
    assert model_configs.layers("ViT-L-14") == {"text": 12, "image": 24}


def test_names_may_be_spelled_as_openai_does():
    named = [params.BackboneConfig(name=name, pretrained="openai").name for name in ("ViT-B/32", "ViT-L/14")]
    assert named == ["ViT-B-32", "ViT-L-14"]


def test_a_text_tower_that_is_not_causal_is_refused():
    with pytest.raises(ValidationError, match="ViT-B-16-SigLIP cannot be used: its text tower is not causal"):
        params.BackboneConfig(name="ViT-B-16-SigLIP", pretrained="webli")
    with pytest.raises(UserError, match="name: ViT-B-16-SigLIP cannot be used: its text tower is not causal"):
        clip.load("ViT-B-16-SigLIP", "webli", "cpu")


def test_openai_weights_need_the_quick_gelu():
    with pytest.raises(UserError, match="quick GELU, which ViT-B-32 does not have; take ViT-B-32-quickgelu instead"):
        clip.load("ViT-B-32", "openai", "cpu")


def test_other_weights_need_the_exact_gelu():
    with pytest.raises(UserError, match="exact GELU, which ViT-B-32-quickgelu does not have; take ViT-B-32 instead"):
        weights.check_gelu("ViT-B-32-quickgelu", False, "they were")


def add(models: Path, name: str, **changes: Any) -> None:
    """The tiny architecture with some changes, under another name."""
    config = json.loads((models / "tiny.json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (models / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    model_configs.config_paths.cache_clear()
    open_clip.add_model_config(models / f"{name}.json")


def trace(path: Path) -> None:
    """Write an archive as OpenAI publishes it.

    It is TorchScript in half precision, with the sizes beside the weights.
    """
    model = open_clip.create_model("tiny", pretrained=str(path.parent / "tiny.safetensors")).eval()
    model.__dict__["attn_mask"] = model._buffers.pop("attn_mask")  # no weight in OpenAI's either
    for key in weights.SETTINGS:
        model.__dict__.pop(key, None)
        model.register_buffer(key, torch.tensor(32))
    inputs = torch.zeros(1, 3, 32, 32), open_clip.tokenize(["a word"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, inputs, check_trace=False, strict=False)
        traced.half().save(str(path))


def test_formats_of_the_same_weights_give_the_same_backbone(models):
    half = {key: value.half() for key, value in load_file(models / "tiny.safetensors").items()}
    save_file(half, models / "half.safetensors")
    torch.save(half, models / "half.pt")
    trace(models / "archive.pt")
    found = {clip.load("tiny", str(models / f), "cpu").weights for f in ("half.safetensors", "half.pt", "archive.pt")}
    assert len(found) == 1


def test_an_archive_of_openai_needs_the_quick_gelu(models):
    trace(models / "archive.pt")
    add(models, "exact", quick_gelu=False)
    with pytest.raises(UserError, match="archive.pt is an archive of OpenAI's, whose weights were trained with the q"):
        clip.load("exact", str(models / "archive.pt"), "cpu")
    add(models, "exact-quickgelu")
    with pytest.raises(UserError, match="quick GELU, which exact does not have; take exact-quickgelu instead"):
        clip.load("exact", str(models / "archive.pt"), "cpu")


def test_a_pickle_that_runs_code_is_refused(models):
    (models / "evil.pt").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UserError, match="cannot load .*evil.pt as weights of tiny"):
        clip.load("tiny", str(models / "evil.pt"), "cpu")


@pytest.mark.parametrize("name", ["RN50", "EVA02-B-16", "convnext_base"])
def test_methods_that_enter_the_image_tower_refuse_another_kind(name):
    assert model_configs.layers(name)["image"] == 0
    with pytest.raises(UserError, match=f"methods: vpt, adapt: these put prompts .* and that of {name} is "):
        resolution.check_towers(["coop", "vpt", "adapt"], name, "methods: ")
    resolution.check_towers(["zero_shot", "coop", "linear_probe"], name, "methods: ")


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-32-quickgelu", "ViT-L-14", "RN50", "RN101", "convnext_base"])
def test_architecture_files_tell_which_towers_take_prompts(name):
    """The files, read before any work, describe the models correctly."""
    with torch.device("meta"):
        model = open_clip.create_model(name, device="meta")
    attention = len(model.visual.transformer.resblocks) if clip.takes_prompts(model.visual) else 0
    assert model_configs.layers(name) == {"text": len(model.transformer.resblocks), "image": attention}


def test_a_model_that_wants_its_images_squashed_is_refused(models):
    model = open_clip.create_model("tiny", force_preprocess_cfg={"resize_mode": "squash"})
    with pytest.raises(UserError, match="tiny expects images resized by squash and bicubic"):
        weights.check_resize("tiny", model)


@pytest.mark.parametrize(
    ("found", "has"), [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"bf16": True}, True)]
)
def test_bfloat16_is_asked_of_the_cpu(found, has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert clip.has_bfloat16(torch.device("cpu")) is has


def test_a_torch_that_cannot_say_has_no_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not clip.has_bfloat16(torch.device("cpu"))


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)


def test_emulated_bfloat16_is_told(emulated):
    with pytest.warns(UserWarning, match="this CPU only emulates bfloat16"):
        adapt.load_clip("pocket", device="cpu", precision="bfloat16")


def test_emulated_bfloat16_is_told_by_a_stage(emulated, capsys):
    plain = load(ROOT / "params.yaml")
    of_stages.load(plain.backbone, plain.runtime.model_copy(update={"precision": "bfloat16", "device": "cpu"}))
    assert capsys.readouterr().out == (
        "params.yaml: runtime.precision: this CPU only emulates bfloat16, which takes several times as long as "
        "float32\n"
    )
