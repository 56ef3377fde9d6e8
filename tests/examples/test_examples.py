"""The programs in examples/ run, and print what they say that they print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import adapt
from tests.project import ROOT

EXAMPLES = ROOT / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in an empty folder and return what it prints."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_is_the_readmes():
    """The README's own lines are run by tests/test_package.py."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert (EXAMPLES / "quickstart.py").read_text(encoding="utf-8").endswith(f'"""\n\n{code}')


@pytest.mark.slow
def test_own_images_are_held_out_and_classified(tmp_path):
    digits = adapt.load_dataset("digits").few_shot(shots=4, seed=1)
    for number, sample in enumerate([*digits.train, *digits.val]):
        if sample.name in ("one", "eight"):
            (tmp_path / "images" / sample.name).mkdir(parents=True, exist_ok=True)
            digits.image(sample.path).save(tmp_path / f"images/{sample.name}/{number}.png")
    Image.new("L", (8, 8)).save(tmp_path / "new.png")
    said = run("own_images", tmp_path, "images", "new.png", "--pocket").splitlines()
    assert [line.split()[0] for line in said] == ["zero_shot", "linear_probe", "adapt", "new.png:"]
    assert re.fullmatch(r"new\.png: (one|eight) \(\d+ %\)", said[-1])


@pytest.mark.slow
def test_new_method_is_better_than_zero_shot(tmp_path):
    said = dict(line.split() for line in run("new_method", tmp_path).splitlines())
    assert list(said) == ["zero_shot", "coop", "shift"] and float(said["shift"]) > float(said["zero_shot"])


@pytest.mark.slow
def test_open_clip_gives_the_models_logits(tmp_path):
    classes, difference = run("use_with_open_clip", tmp_path).splitlines()
    assert classes.startswith("['zero', ") and float(difference.split()[-1]) < 1e-3


@pytest.mark.slow
def test_notebook_runs_and_begins_with_what_it_shows(tmp_path, monkeypatch):
    """Accuracy and lengths; scores of single tokens differ in their last digits from CPU to CPU."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "inspect_pruning.ipynb", as_version=4)
    shown = printed(notebook)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    again = printed(notebook)
    assert len(again) == len(shown) and again[0] == shown[0]


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what the cells print, without warnings."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.get("text") or output["data"]["text/plain"] for output in outputs if output.get("name") != "stderr"]


def test_notebook_has_no_path_of_a_machine():
    assert not re.search(
        r"/(home|root|work|Users|tmp)/", (EXAMPLES / "inspect_pruning.ipynb").read_text(encoding="utf-8")
    )
