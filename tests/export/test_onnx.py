"""The ONNX file gives the model's predictions at the cost of the frozen tower.

onnxruntime alone runs it.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import adapt
from adapt.export import onnx as exporter
from adapt.export.heads import Cosine
from tests.export.conftest import DATASETS, EXPORTED
from tests.project import ROOT

WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "open_clip", "adapt"):
    sys.modules[name] = None
"""


def session(folder: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def run(folder: Path, pixels: torch.Tensor) -> np.ndarray:
    (found,) = session(folder).run(None, {"pixels": pixels.numpy()})
    return np.asarray(found)


def graph(folder: Path) -> onnx.GraphProto:
    return onnx.load(folder / "model.onnx").graph


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", EXPORTED)
def test_probabilities_are_the_models(method, dataset, exported, fit, pixels):
    model = fit(method, dataset)
    expected = model.logits_of(pixels(dataset), 16).softmax(dim=1).numpy()
    found = run(exported(method, dataset), pixels(dataset))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_propagated_prompts_are_exported_too(exported, fit, pixels):
    expected = fit("maple", depth=3).logits_of(pixels("digits"), 16).softmax(dim=1).numpy()
    np.testing.assert_allclose(run(exported("maple", depth=3), pixels("digits")), expected, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_batch_may_have_any_size(count, exported, pixels):
    folder, whole = exported("adapt"), pixels("digits")
    np.testing.assert_allclose(run(folder, whole[:count]), run(folder, whole)[:count], atol=1e-6)


def test_it_has_no_more_matrix_products_than_plain_clip(exported):
    tuned, plain = (Counter(node.op_type for node in graph(exported(name)).node) for name in ("adapt", "coop"))
    assert tuned["MatMul"] == plain["MatMul"] and tuned["LayerNormalization"] == plain["LayerNormalization"]


def test_of_the_prompts_there_are_keys_and_values_alone(exported, fit):
    tuned, plain = ({tuple(tensor.dims) for tensor in graph(exported(name)).initializer} for name in ("adapt", "coop"))
    heads, width = 2, 64
    lengths = {length for length in fit("adapt").lengths()["image"] if length}
    assert tuned - plain == {(heads, length, width) for length in lengths}


def test_adapters_are_merged_into_the_weights(exported):
    tuned, plain = (Counter(node.op_type for node in graph(exported(name)).node) for name in ("clip_lora", "coop"))
    assert tuned == plain


def test_its_metadata_tell_where_it_comes_from(fit, tmp_path):
    model = fit("adapt")
    made = model.made_from
    known = {key: made[key] for key in ("preset", "backbone", "weights", "dataset", "method", "seed")}
    model.export(tmp_path / "out", metrics={**known, "shots": 2, "split": "test", "accuracy": 0.5, "images": 540})
    facts = session(tmp_path / "out").get_modelmeta().custom_metadata_map
    assert json.loads(facts.pop("classes")) == model.classes
    assert json.loads(facts.pop("lengths")) == model.lengths()
    assert facts == {
        "image_size": "32", "method": "adapt", "preset": "pocket", "backbone": "pocket", "weights": made["weights"],
        "dataset": "digits", "template": "a photo of the number {}.", "seed": "1", "shots": "2", "split": "test",
        "accuracy": "0.5", "images": "540", "pretrained": "pocket.safetensors", "adapt_version": adapt.__version__,
    }  # fmt: skip


def test_it_names_no_path_of_this_machine(exported):
    content = (exported("adapt") / "model.onnx").read_bytes()
    assert str(ROOT).encode() not in content and b".py" not in content


def test_card_tells_how_to_run_it_and_no_torch_is_needed(exported, fit, few, tmp_path):
    image = few("digits").test.image(7).resize((57, 40))
    image.save(tmp_path / "image.png")
    (tmp_path / "model.onnx").symlink_to(exported("adapt") / "model.onnx")
    (code,) = (exported("adapt") / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    command = [sys.executable, "-c", WITHOUT_TORCH + code.partition("```")[0]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    name, probability = done.stdout.split()
    assert [name] == fit("adapt").predict([tmp_path / "image.png"])
    assert float(probability) == pytest.approx(float(fit("adapt").predict_proba([image]).max()), abs=1e-4)


def test_exporter_keeps_its_messages_to_itself(fit, tmp_path):
    fit("zero_shot").save(tmp_path / "run")
    code = f"import adapt; adapt.load({str(tmp_path / 'run')!r}).export({str(tmp_path / 'out')!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout and not done.stderr


def test_model_that_torch_cannot_trace_is_refused_with_the_reason(fit, tmp_path, monkeypatch):
    def by_content(self, features):
        return features[:, :10] if features.sum() > 0 else features[:, 10:20]

    monkeypatch.setattr(Cosine, "forward", by_content)
    with pytest.raises(adapt.UserError, match=r"export: torch .* cannot write this model as ONNX \(.*\)") as told:
        fit("zero_shot").export(tmp_path / "out")
    assert "\n" not in str(told.value) and "\x1b" not in str(told.value) and not any(tmp_path.iterdir())


def test_weights_of_a_large_model_lie_beside_the_file(fit, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "LARGEST", 0)
    fit("zero_shot").export(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["README.md", "model.onnx", "model.onnx.data"]
    expected = fit("zero_shot").logits_of(pixels("digits"), 16).softmax(dim=1).numpy()
    np.testing.assert_allclose(run(tmp_path / "out", pixels("digits")), expected, atol=1e-4)
