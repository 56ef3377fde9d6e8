"""The pretended GPU, or why there is none, and programs that run on it."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests.gpu import build

ROOT = Path(__file__).parents[2]
PATIENCE = 400.0  # seconds
Program = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The folder with both libraries, which the next run of the tests finds there."""
    if why := build.obstacle():
        pytest.skip(f"no GPU can be pretended: {why}")
    return build.build(build.FOLDER)


@pytest.fixture(scope="session")
def program(libraries, tmp_path_factory) -> Program:
    """A function that runs a module of this folder on the pretended GPU.

    It returns the lines of JSON that the module prints. Each module is run once, whichever process of pytest asks
    first.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def run(module: str, *arguments: str, cwd: Path = ROOT, **settings: str) -> list[dict[str, Any]]:
        key = hashlib.sha256(repr((module, arguments, settings)).encode()).hexdigest()[:16]
        told = folder / f"gpu-{module}-{key}"
        with told.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                environment = build.environment(libraries, PYTHONPATH=str(ROOT), PYTHONFAULTHANDLER="1", **settings)
                command = [sys.executable, "-m", f"tests.gpu.{module}", *arguments]
                with subprocess.Popen(
                    command, cwd=cwd, env=environment, text=True, stdout=PIPE, stderr=PIPE
                ) as process:
                    timer = threading.Timer(PATIENCE, process.send_signal, [signal.SIGABRT])  # it says where it is
                    timer.start()
                    said, complained = process.communicate()
                    timer.cancel()
                assert process.returncode == 0, said + complained
                told.write_text(said, encoding="utf-8")
        lines = told.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return run


def each(names: Sequence[str], **faults: str) -> pytest.MarkDecorator:
    """A test for each of some methods, of which some have a fault that is known."""
    known = {name: pytest.mark.xfail(strict=True, reason=reason) for name, reason in faults.items()}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=known.get(name, ())) for name in names])
