"""How a stage is called: what its main gets, and how mistakes reach the user."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapt.config import PruneConfig
from adapt.errors import UserError
from adapt.pipeline import stage
from adapt.runtime import locks
from tests.miniature import put

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_arguments_and_sections_are_bound_by_name():
    def main(dataset: str, shots: int, prune: PruneConfig) -> None: ...

    bound = stage.bind_arguments(main, ["dataset=digits"])
    assert bound["dataset"] == "digits" and bound["shots"] == 16 and bound["prune"].criterion == "snip"


@pytest.mark.parametrize("arguments", [[], ["dataset=a", "method=b"], ["datset=a"], ["digits"]])
def test_wrong_arguments_are_refused(arguments):
    def main(dataset: str) -> None: ...

    with pytest.raises(UserError, match="this stage takes dataset=…, got"):
        stage.bind_arguments(main, arguments)


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


def exit_message(error: BaseException, monkeypatch) -> str:
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as left:
        stage.run(raising(error))
    return str(left.value.code)


def test_mistake_ends_with_one_message(monkeypatch):
    assert exit_message(UserError("so it is"), monkeypatch) == "error: so it is"


def test_full_disk_ends_with_one_message(monkeypatch):
    error = OSError(errno.ENOSPC, "No space left on device", "runs/x.csv")
    assert exit_message(error, monkeypatch) == (
        "error: cannot write runs/x.csv: No space left on device; free space or make it writable, then run again"
    )


def test_our_own_mistakes_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(ZeroDivisionError):
        stage.run(raising(ZeroDivisionError()))


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A working copy without data."""
    for name in ("adapt", "stages", "conf", "models"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_wrong_param_fails_the_script_without_a_traceback(copy):
    text = (copy / "params.yaml").read_text(encoding="utf-8")
    (copy / "params.yaml").write_text(text.replace("criterion: snip", "criterion: snap"), encoding="utf-8")
    done = run_in(copy, "stages.sample", "dataset=digits")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: params.yaml: prune.criterion: expected 'snip'")
    assert not (copy / "data").exists()


def test_stage_before_its_inputs_says_what_makes_them(copy):
    done = run_in(copy, "stages.evaluate", "dataset=digits", "method=adapt")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "data/fewshot/digits/test.csv is missing; make it with `dvc repro sample@digits`" in done.stderr


def test_dataset_that_was_not_fetched_says_what_gets_it(copy):
    done = run_in(copy, "stages.sample", "dataset=dtd")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "its images are not in datasets/dtd/images (no banded there); get it with `python -m adapt data" in done.stderr
    )


def test_dataset_under_the_params_own_root_is_known_to_stages(copy, monkeypatch):
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    for name in ("robin", "wren"):
        for number in range(3):
            put(copy / "mine/birds" / name / f"{number}.jpg")
    put(copy / "mine/birds/dataset.yaml", b"template: a {}.\n")
    assert run_in(copy, "stages.compose", "datasets=[birds]", "data.root=mine").returncode == 0
    done = run_in(copy, "stages.sample", "dataset=birds")
    assert done.returncode == 0 and "sample birds: 16 shots of 2 classes, seeds [1, 2, 3], 2 test images" in done.stdout
    done = run_in(copy, "stages.sample", "dataset=bird")
    assert "error: dataset=bird: unknown dataset 'bird'; did you mean 'birds'?" in done.stderr


def test_val_split_that_lacks_a_class_is_told_of(copy):
    rows = {part: [] for part in ("train", "val", "test")}
    for label, name in enumerate(("robin", "wren")):
        for number, part in enumerate(("train", "train", "test", "val")):
            put(copy / "datasets/birds" / name / f"{number}.jpg")
            rows[part] += [[f"{name}/{number}.jpg", label, name]] if (part, name) != ("val", "wren") else []
    put(copy / "datasets/birds/dataset.yaml", b"template: a {}.\n")
    put(copy / "datasets/birds/split.json", json.dumps(rows).encode())
    assert run_in(copy, "stages.compose", "datasets=[birds]", "shots=1").returncode == 0
    said = run_in(copy, "stages.sample", "dataset=birds").stdout
    assert "sample birds: no val images of 'wren': settings chosen on val ignore these classes" in said


def test_invalid_composition_leaves_params_as_they_were(copy):
    before = (copy / "params.yaml").read_text(encoding="utf-8")
    done = run_in(copy, "stages.compose", "shots=0")
    assert done.returncode == 1 and done.stderr.startswith("error: params.yaml: shots: expected greater than 0")
    assert (copy / "params.yaml").read_text(encoding="utf-8") == before


def test_second_process_at_one_item_is_refused(copy):
    """While another stands at the same dataset; one at another dataset may run."""
    with locks.exclusive(copy / ".scratch/locks/sample@digits", "the first"):
        done = run_in(copy, "stages.sample", "dataset=digits")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr == (
            f"error: sample@digits is running here already, as process {os.getpid()}; wait until it ends or stop it, "
            "then run again\n"
        )
        assert not (copy / "data").exists()
        assert run_in(copy, "stages.sample", "dataset=phosphor").returncode == 0
    assert run_in(copy, "stages.sample", "dataset=digits").returncode == 0
    assert list((copy / ".scratch/locks").iterdir()) == []


def test_checkpoints_that_are_not_used_are_told_of_once(checkpoint, capsys):
    checkpoint(fingerprint="a" * 64).save({})
    other = checkpoint(fingerprint="b" * 64)
    stage.warn_stale_checkpoints("train digits adapt", [other, other])
    said = capsys.readouterr().out
    assert said.startswith("train digits adapt: a checkpoint made with other params or code is not used: ")
    assert said.endswith(f"train/run-{'a' * 16}.pt\n") and len(said.splitlines()) == 1


def test_more_shots_than_images_says_so_and_takes_all(copy):
    assert run_in(copy, "stages.compose", "shots=100000").returncode == 0
    done = run_in(copy, "stages.sample", "dataset=phosphor")
    assert done.returncode == 0
    assert "training images, fewer than shots=100000: all are taken" in done.stdout
