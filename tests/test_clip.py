"""The backbone: what is loaded, hashed, refused."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from adapt import architecture, clip
from adapt.errors import UserError

TINY = Path(__file__).parent / "models"


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A models/ folder with the tiny architecture and random weights for it."""
    monkeypatch.setattr(architecture, "MODELS", tmp_path)
    architecture.files.cache_clear()
    (tmp_path / "tiny.json").write_text((TINY / "tiny.json").read_text())
    open_clip.add_model_config(tmp_path / "tiny.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("tiny").state_dict(), tmp_path / "tiny.safetensors")
    yield tmp_path
    architecture.files.cache_clear()


def test_loaded_model_is_frozen_and_in_evaluation_mode(models):
    model = clip.load("tiny", str(models / "tiny.safetensors"), "cpu").model
    assert not model.training and not any(weight.requires_grad for weight in model.parameters())


def test_layers_and_widths_are_by_branch(models):
    backbone = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    assert backbone.layers == {"text": 3, "image": 2} == architecture.layers("tiny")
    assert backbone.widths == {"text": 32, "image": 48}


def test_hash_is_of_the_weights(models):
    first = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    again = clip.load("tiny", str(models / "tiny.safetensors"), "cpu")
    with torch.no_grad():
        again.model.visual.proj[0, 0] += 1
    assert first.weights == clip.weights_hash(first.model) != clip.weights_hash(again.model)


def test_missing_weights_are_refused(models):
    with pytest.raises(UserError, match="backbone.pretrained: there is no file .*none.safetensors"):
        clip.load("tiny", str(models / "none.safetensors"), "cpu")


def test_unknown_tag_is_refused(models):
    with pytest.raises(UserError, match="backbone.pretrained: cannot load opnai as weights of tiny"):
        clip.load("tiny", "opnai", "cpu")


def test_weights_of_another_architecture_are_refused(models):
    config = json.loads((models / "tiny.json").read_text())
    config["text_cfg"]["layers"] = 4
    (models / "deeper.json").write_text(json.dumps(config))
    architecture.files.cache_clear()
    with pytest.raises(UserError, match=r"cannot load .*tiny.safetensors as weights of deeper .*give weights of that"):
        clip.load("deeper", str(models / "tiny.safetensors"), "cpu")


def test_truncated_weights_are_refused(models):
    path = models / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot load .*tiny.safetensors"):
        clip.load("tiny", str(path), "cpu")


def test_tower_without_prompts_is_refused():
    model = open_clip.create_model("RN50")
    with pytest.raises(UserError, match="backbone.name: RN50 has a tower that prompts cannot enter"):
        clip.freeze("RN50", model, torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(UserError, match="runtime.device: cuda asked for, but torch sees no GPU"):
        clip.choose_device("cuda")


def test_architectures_are_read_without_importing_open_clip():
    assert architecture.layers("ViT-L-14") == {"text": 12, "image": 24}
