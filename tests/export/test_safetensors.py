"""The tensors give the model's own logits in plain open_clip, by the card's code."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt import methods
from tests.export.conftest import REFUSED
from tests.project import ROOT

POCKET = ("adapt/clip/model_configs/pocket.json", "models/pocket.safetensors")
BY_TENSORS = sorted(set(methods.names()) - REFUSED - {"clip_lora"})


def lines(card: Path) -> str:
    """The block of Python in a card."""
    (code,) = re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)
    return code


@pytest.mark.parametrize("method", BY_TENSORS)
def test_lines_of_the_card_give_the_models_logits(method, fit, few, tmp_path, monkeypatch):
    model, image = fit(method), few("digits").test.image(7).resize((57, 40))
    model.export(tmp_path / "out", "safetensors")
    for name in POCKET:
        shutil.copy(ROOT / name, tmp_path / "out")
    image.save(tmp_path / "out/image.png")
    monkeypatch.chdir(tmp_path / "out")
    after: dict = {}
    exec(lines(tmp_path / "out/README.md"), after)
    torch.testing.assert_close(after["logits"].detach(), model.logits([image]), atol=1e-3, rtol=1e-4)


def test_lines_are_at_most_ten_after_the_imports_without_those_of_the_pocket(fit, tmp_path):
    fit("adapt").export(tmp_path / "out", "safetensors")
    found = [line for line in lines(tmp_path / "out/README.md").splitlines() if line]
    assert len([line for line in found if "import" not in line and "pocket.json" not in line]) <= 10


def test_json_has_the_same_lines_and_says_what_each_tensor_is(fit, tmp_path):
    fit("adapt").export(tmp_path / "out", "safetensors")
    about = json.loads((tmp_path / "out/model.json").read_text(encoding="utf-8"))
    assert about["use"] == lines(tmp_path / "out/README.md").splitlines()
    tensors = load_file(tmp_path / "out/model.safetensors")
    assert {re.sub(r"\d+", "N", name) for name in tensors} == set(about["tensors"])


def test_keys_are_as_many_as_the_prompts_of_each_layer(fit, tmp_path):
    fit("adapt").export(tmp_path / "out", "safetensors")
    tensors = load_file(tmp_path / "out/model.safetensors")
    lengths = [len(tensors.get(f"key.{layer}", ())) for layer in range(6)]
    assert lengths == fit("adapt").lengths()["image"]


def test_changed_weights_are_refused_with_the_way_out(fit, tmp_path):
    with pytest.raises(
        adapt.UserError, match="clip_lora cannot be exported as safetensors: it changes weights"
    ) as told:
        fit("clip_lora").export(tmp_path / "out", "safetensors")
    assert "take the format onnx" in str(told.value) and not any(tmp_path.iterdir())


def test_propagated_prompts_are_refused_with_the_way_out(fit, tmp_path):
    with pytest.raises(adapt.UserError, match="vpt cannot be exported as safetensors: its image prompts go") as told:
        fit("vpt", depth=3).export(tmp_path / "out", "safetensors")
    assert "take the format onnx" in str(told.value) and not any(tmp_path.iterdir())
