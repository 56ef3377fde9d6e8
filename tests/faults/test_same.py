"""The same params give the same bytes, however they are run.

They are run again, with seeds side by side or in turn, and by `dvc exp run`.
"""

import os
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.__main__ import SMALL, results, start
from tests.faults.pipeline import Kill, repro
from tests.project import environment

SMALLER = [*SMALL, "datasets=[digits]", "methods=[linear_probe,adapt]", "shots=2"]

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """The results of a first run."""
    return finish(tmp_path_factory.mktemp("first"))


def finish(folder: Path, *overrides: str) -> dict[str, bytes]:
    run = repro(start(folder / "project", [*SMALLER, *overrides]))
    assert run.status == 0, run.said
    return results(folder / "project")


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]


def test_run_twice(expected, tmp_path):
    assert differences(finish(tmp_path), expected) == []


def test_seeds_in_turn_and_side_by_side(expected, tmp_path):
    assert differences(finish(tmp_path, "runtime.parallel_seeds=1"), expected) == []


@pytest.mark.parametrize("threads", ["1", "2"])
def test_any_number_of_threads(threads, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert differences(finish(tmp_path), expected) == []


@pytest.mark.parametrize("workers", ["1", "4"])  # 1: this process itself decodes
def test_any_number_of_workers(workers, expected, tmp_path):
    assert differences(finish(tmp_path, f"runtime.num_workers={workers}"), expected) == []


def test_stages_that_start_cold(expected, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_WARM", "no")
    assert differences(finish(tmp_path), expected) == []


def test_clock_set_back(expected, tmp_path):
    """Killed, then all that is there is from tomorrow."""
    folder = start(tmp_path / "project", SMALLER)
    assert repro(folder, Kill("train@digits-adapt", 0.5, "all"), Random(0)).status != 0
    tomorrow = time.time() + 24 * 3600
    for path in folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)
    run = repro(folder)
    assert run.status == 0 and "train@digits-adapt" in run.seconds and "sample@digits" not in run.seconds
    assert differences(results(folder), expected) == []


def test_by_dvc_exp_run(expected, tmp_path):
    folder = start(tmp_path / "project", [])
    subprocess.run(["git", "commit", "-qam", "params"], cwd=folder, env=AUTHOR, check=False)
    options = [word for override in SMALLER for word in ("-S", override)]
    done = subprocess.run(["dvc", "exp", "run", *options], cwd=folder, env=AUTHOR, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(results(folder), expected) == []


AUTHOR = environment() | {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "t"), ("EMAIL", "t@example.org"))
}
