"""`make gpu` on the machine that it is for: what it has to have is there or carried, and what it measures is a fact."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks import rig
from tests.gpu import build, machine
from tests.project import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return machine.make(tmp_path_factory.mktemp("machine"))


def run(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A shell command there, where a package that is neither there nor carried is missing."""
    own = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    path = os.pathsep.join([str(folder / "python/bin"), "/usr/bin", "/bin"])
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env={**own, "PATH": path, **settings}, capture_output=True, text=True
    )


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
    settings = build.environment(libraries)
    pretended = {name: settings[name] for name in ("LD_PRELOAD", "LD_LIBRARY_PATH")}
    found = run(folder, "sh benchmarks/gpu.sh switches", **pretended)
    assert found.returncode == 0 and '"failed"' not in found.stdout, found.stdout + found.stderr


def test_what_is_carried_is_locked():
    locked = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert not [name for name in machine.carried() if f'\nname = "{name}"\n' not in locked]


def test_package_that_is_missing_has_no_version():
    assert rig.installed("no-such-package") is None
