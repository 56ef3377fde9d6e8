"""Backbones of other kinds than the plain CLIP.

The tests check which methods accept them, and that they are run exactly.
"""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch

from adapt import methods
from adapt.clip import backbone as clip
from adapt.clip import model_configs
from adapt.clip.encoders import split_prefix
from adapt.settings import resolution
from tests.methods.test_methods import predictions, tune

TINY = json.loads((Path(__file__).parents[1] / "models/tiny.json").read_text(encoding="utf-8"))
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "patch_size": None}
POOLED = {**TINY["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2}
KINDS = {  # a CLIP's architecture, and the methods that it cannot take
    "custom": {**TINY, "custom_text": True},
    "resnet": {**TINY, "vision_cfg": RESNET},
    "pooled": {**TINY, "vision_cfg": POOLED},
}
INTO_IMAGE = {name for name in methods.names() if methods.find(name).modifies_image_tower}
TAKEN = [(kind, name) for kind in KINDS for name in methods.names() if kind == "custom" or name not in INTO_IMAGE]


@pytest.fixture
def backbone(request, tmp_path, monkeypatch) -> clip.Backbone:
    """The backbone of a kind, with random weights.

    `task` and `batches` of conftest.py then use it.
    """
    monkeypatch.setattr(model_configs, "FOLDER", tmp_path)
    model_configs.config_paths.cache_clear()
    shutil.copy("adapt/clip/model_configs/pocket.json", tmp_path)  # the params name it
    for kind, config in KINDS.items():
        (tmp_path / f"{kind}.json").write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(tmp_path / f"{kind}.json")
    torch.manual_seed(0)
    yield clip.freeze(request.param, open_clip.create_model(request.param), torch.device("cpu"))
    model_configs.config_paths.cache_clear()


def test_methods_that_enter_the_image_tower_are_the_deep_ones():
    assert set(methods.names()) - INTO_IMAGE == {
        "zero_shot", "coop", "coop_csc", "kgcoop", "prograd", "cocoop", "tip_adapter", "tip_adapter_f", "linear_probe",
    }  # fmt: skip


@pytest.mark.parametrize(("backbone", "name"), TAKEN, indirect=["backbone"])
def test_method_takes_the_backbone(backbone, name, task, batches):
    assert resolution.supports(name, backbone.name)
    method, _ = tune(name, task, batches)
    assert predictions(method, batches).isfinite().all()


@pytest.mark.parametrize("backbone", KINDS, indirect=True)
def test_features_are_the_models_own(backbone, relative_error):
    tokens = backbone.tokenize(["a photo of a cat.", "a photo of a red dog."])
    images = torch.randn(2, 3, 32, 32)
    text = split_prefix(backbone.text, tokens)
    assert relative_error(backbone.encode_text(text), backbone.model.encode_text(tokens)) < 1e-5
    assert relative_error(backbone.encode_image(images), backbone.model.encode_image(images)) < 1e-5


@pytest.mark.parametrize("backbone", ["resnet", "pooled"], indirect=True)
def test_a_tower_without_prompts_has_no_layers(backbone):
    assert backbone.layers == {"text": 3, "image": 0} == model_configs.layers(backbone.name)
    assert backbone.widths == {"text": 32, "image": 0} and backbone.image_size == 32
