"""docs/export.md: its programs run, and its table of methods is true."""

import re
import subprocess
import sys

import pytest

import adapt
from adapt import methods
from adapt.export import safetensors
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from tests.export.test_onnx import WITHOUT_TORCH
from tests.project import ROOT

PAGE = (ROOT / "docs/export.md").read_text(encoding="utf-8")
ONNX, TENSORS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| (`.*) \| (yes|no).* \| (.*) \|$", PAGE, re.MULTILINE)
TOLD = {name: (onnx, tensors) for names, onnx, tensors in ROWS for name in re.findall(r"`(\w+)`", names)}


def test_program_prints_the_models_predictions_without_torch(exported, fit, few, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "face-onnx").symlink_to(exported("adapt"))
    paths = [tmp_path / "new" / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        few("digits").test.image(100 * number).save(path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + ONNX], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    shares = (100 * fit("adapt").predict_proba(paths).max(dim=1).values).tolist()
    expected = zip(paths, fit("adapt").predict(paths), shares, strict=True)
    assert done.stdout.splitlines() == [f"new/{path.name}  {name} {share:.1f} %" for path, name, share in expected]


def test_lines_for_open_clip_are_those_of_the_card(fit):
    model = fit("adapt")
    made = {**model.made_from, "backbone": "ViT-B-16-quickgelu", "pretrained": "openai"}
    assert safetensors.use(Folded(model.method), Facts(made, None, model.lengths(), 224)) == TENSORS


def test_program_for_onnx_reads_images_as_that_of_the_card(exported):
    card = (exported("adapt") / "README.md").read_text(encoding="utf-8")
    start, end = "session = ", "\n\n\n"
    assert ONNX.partition("def read")[2].partition(end)[0] == card.partition("def read")[2].partition(end)[0]
    assert start in card


def test_table_has_every_method():
    assert set(TOLD) == set(methods.names())


def allows(model: adapt.Model) -> bool:
    """Whether it can be exported as safetensors."""
    try:
        safetensors.check(model.method, Folded(model.method))
    except adapt.UserError:
        return False
    return True


@pytest.mark.parametrize("method", TOLD)
def test_table_tells_what_can_be_exported(method, fit):
    onnx, tensors = TOLD[method]
    assert allows(fit(method)) != tensors.startswith("no")
    assert (onnx == "no") == (method == "cocoop")


@pytest.mark.parametrize("method", ["vpt", "ivlp", "maple", "promptsrc"])
def test_table_tells_on_what_the_depth_decides(method, fit):
    assert "`prompt_depth`" in TOLD[method][1] and not allows(fit(method, depth=3))
