"""`make gpu` on a copy of its machine.

Every package it needs is there or carried along, and its measurements are facts.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from adapt.runtime import workers
from benchmarks import gpu, gpu_seeds, rig
from tests.gpu import build, machine
from tests.project import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return machine.make(tmp_path_factory.mktemp("machine"))


def run(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command on that machine, without packages that are not there."""
    own = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    path = os.pathsep.join([str(folder / "python/bin"), "/usr/bin", "/bin"])
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env={**own, "PATH": path, **settings}, capture_output=True, text=True
    )


def pretended(libraries: Path) -> dict[str, str]:
    """What the environment of the pretended GPU adds."""
    settings = build.environment(libraries)
    return {name: settings[name] for name in ("LD_PRELOAD", "LD_LIBRARY_PATH")}


@pytest.mark.slow
def test_all_that_the_benchmark_imports_is_there(folder):
    found = run(folder, "sh benchmarks/gpu.sh", CUDA_VISIBLE_DEVICES="")
    assert found.stderr == "error: torch sees no GPU; `make bench` measures on a CPU\n"


@pytest.mark.slow
def test_all_that_its_tests_import_is_there(folder):
    command = "PYTHONPATH=gpu_packages:. python3 -m pytest -q -p no:cacheprovider -m gpu --collect-only tests/clip"
    found = run(folder, command)
    assert found.returncode == 0 and "test_a_gpu_gives_what_the_cpu_gives" in found.stdout, found.stdout


@pytest.mark.slow
def test_a_part_runs_there(folder, libraries):
    """With what is imported late, as settings are composed."""
    found = run(folder, "sh benchmarks/gpu.sh switches", **pretended(libraries))
    assert found.returncode == 0 and '"failed"' not in found.stdout, found.stdout + found.stderr


def test_what_is_carried_is_locked():
    locked = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert not [name for name in machine.carried() if f'\nname = "{name}"\n' not in locked]


def test_package_that_is_missing_has_no_version():
    assert rig.installed("no-such-package") is None


def test_kernels_that_need_a_compiler_are_off_before_torch_is_imported():
    code = "import benchmarks, os, sys; print(os.environ['TORCH_DISABLE_NATIVE_JIT'], 'torch' in sys.modules)"
    plain = {key: value for key, value in os.environ.items() if key != "TORCH_DISABLE_NATIVE_JIT"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=plain, capture_output=True, text=True)
    assert found.stdout == "1 False\n"


def test_row_that_would_end_late_is_skipped(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(gpu, "time", SimpleNamespace(time=lambda: clock[0]))

    def measure() -> gpu.Row:
        clock[0] += 20
        return {"ms": 1}

    found = gpu.in_time([({"method": name}, measure) for name in ("adapt", "coop", "vpt")], end=50.0, first=10.0)
    assert found == [{"method": "adapt", "ms": 1}, {"method": "coop", "ms": 1}, {"method": "vpt", "skipped": True}]


def test_first_row_is_skipped_where_it_is_thought_to_end_late():
    assert gpu.in_time([({"graph": True}, dict)], time.time() + 5, first=10.0) == [{"graph": True, "skipped": True}]


def test_part_without_time_is_skipped():
    assert gpu.skipped("seeds", gpu.measured("seeds", time.time() - 1)) == ["seeds"]


def test_skipped_row_is_named_by_what_it_is_of():
    rows = [{"method": "adapt", "ms": 1}, {"method": "coop", "classes": 1000, "skipped": True}]
    assert gpu.skipped("step", {"rows": rows}) == ["step coop 1000"]


def test_part_that_fails_says_why(monkeypatch, capsys):
    monkeypatch.setitem(gpu.PARTS, "step", lambda end: 1 / 0)
    assert gpu.measured("step", time.time() + 9)["rows"] == [{"failed": "ZeroDivisionError: division by zero"}]


def test_all_parts_take_four_minutes_if_nothing_is_said():
    assert gpu.asked([]) == (list(gpu.PARTS), 240.0)


def test_parts_and_seconds_are_as_asked_for():
    assert gpu.asked(["seeds", "seconds=60", "step"]) == (["seeds", "step"], 60.0)


@pytest.mark.parametrize(
    ("word", "said"), [("steps", "there is no part steps"), ("seconds=two", "seconds takes a number")]
)
def test_what_cannot_be_asked_for_is_refused(word, said):
    with pytest.raises(SystemExit, match=said):
        gpu.asked([word])


@pytest.mark.slow
def test_run_without_time_names_what_it_skipped(folder, libraries):
    found = run(folder, "sh benchmarks/gpu.sh seconds=0 step tests", **pretended(libraries))
    assert found.stdout == "skipped, since 0 seconds are too short: step, tests\nwrote .scratch/gpu.json\n", (
        found.stderr
    )


def test_time_runs_from_the_start_of_the_script(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/gpu.sh").write_bytes((ROOT / "benchmarks/gpu.sh").read_bytes())
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$GPU_BEGAN"\n', encoding="utf-8")
    python.chmod(0o755)
    before = int(time.time())
    told = subprocess.run(["sh", str(tmp_path / "benchmarks/gpu.sh")], capture_output=True, text=True).stdout
    assert before <= int(told.split()[0]) <= time.time()


def test_all_tests_that_need_a_gpu_are_where_the_benchmark_runs_them():
    mark = "@pytest.mark." + "gpu\n"
    found = [path for path in (ROOT / "tests").rglob("test_*.py") if mark in path.read_text(encoding="utf-8")]
    assert found and all(path.is_relative_to(ROOT / gpu.TESTS) for path in found)


def test_only_the_time_in_which_all_are_at_work_counts():
    """The first was alone for two seconds, in which it did four steps."""
    assert gpu_seeds.shared_rate([[0, 0.5, 1, 1.5, 2, 3, 4], [2, 3, 4, 5, 6]]) == 2.0


def test_processes_that_never_met_have_no_rate():
    with pytest.raises(ValueError, match="never at work at the same time"):
        gpu_seeds.shared_rate([[0, 1], [2, 3]])


def side_by_side(prepare: Callable[[int], object]) -> list[list[float]]:
    """What three processes count, each of which prepares itself in its own way."""
    barrier = multiprocessing.get_context("fork").Barrier(3)

    def work(number: int) -> list[float]:
        def own() -> Callable[[], None]:
            prepare(number)
            return lambda: time.sleep(0.01)

        return gpu_seeds.begin(own, barrier)

    return list(workers.run(work, range(3), processes=3, setting="three"))


def test_nobody_begins_before_all_are_warm(monkeypatch):
    monkeypatch.setattr(gpu_seeds, "COUNTED", 0.1)
    warm = time.monotonic() + 1.5
    found = side_by_side(lambda number: time.sleep(1.5 * (number == 1)))
    assert all(times[0] >= warm for times in found)


def test_nobody_waits_for_one_that_failed():
    def prepare(number: int) -> None:
        if number == 0:
            raise MemoryError

    start = time.monotonic()
    with pytest.raises(MemoryError):
        side_by_side(prepare)
    assert time.monotonic() - start < gpu_seeds.PATIENCE / 2
