"""The pretended GPU, or why there is none, and programs that run on it."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import build

ROOT = Path(__file__).parents[2]
Program = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The folder with both libraries, which the next run of the tests finds there."""
    if why := build.obstacle():
        pytest.skip(f"no GPU can be pretended: {why}")
    return build.build(ROOT / ".scratch/pretended_gpu")


@pytest.fixture(scope="session")
def program(libraries, tmp_path_factory) -> Program:
    """A function that runs a module of this folder on the pretended GPU and reads the lines of JSON that it prints.

    Each is run once, whichever process of pytest asks first.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def run(module: str, *arguments: str, cwd: Path = ROOT, **settings: str) -> list[dict[str, Any]]:
        told = folder / f"gpu-{'-'.join((module, *arguments, *settings.values()))}"
        with told.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                environment = build.environment(libraries, PYTHONPATH=str(ROOT), **settings)
                command = [sys.executable, "-m", f"tests.gpu.{module}", *arguments]
                done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, done.stdout + done.stderr
                told.write_text(done.stdout, encoding="utf-8")
        lines = told.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return run
