"""Stages that start warm give the results of a cold start, and stop when asked to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project import checkout, environment
from tests.runtime.test_signals import running

FIRST = "import torch\nfrom adapt.pipeline import stage\ndef main() -> None: print('first')\nstage.run(main)\n"
PROBE = """
import os, sys, time
from adapt.pipeline import stage
from adapt.errors import UserError

def main(do: str) -> None:
    print("warm" if "torch" in sys.modules else "cold", os.environ.get("GREETING"), os.getpid(), flush=True)
    if do == "refuse":
        raise UserError("not like this")
    if do == "look":
        print("dvclive" in sys.modules)
    if do == "break":
        raise KeyError("broken")
    while do == "wait":
        time.sleep(0.05)

stage.run(main)
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A checkout with two more stages, the first of which has left a server."""
    folder = tmp_path / "project"
    folder.mkdir()
    checkout(folder)
    (folder / "stages/first.py").write_text(FIRST, encoding="utf-8")
    (folder / "stages/probe.py").write_text(PROBE, encoding="utf-8")
    code = folder / "adapt/runtime/fork_server.py"
    code.write_text(code.read_text(encoding="utf-8").replace("IDLE = 20.0", "IDLE = 4.0"), encoding="utf-8")
    assert finish(call(folder, "first")) == (0, "first\n", "")
    return folder


def call(folder: Path, stage: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """A stage as DVC starts it."""
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    env = {**environment(), "DVC_STAGE": stage, **variables}
    env.pop("PYTEST_CURRENT_TEST")  # setup and call are not to differ
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, complained = process.communicate(timeout=60)
    return process.returncode, said, complained


def start_waiting(project: Path) -> tuple[subprocess.Popen[str], int]:
    """A stage that has begun to wait, and its worker."""
    process = call(project, "probe", "do=wait")
    assert process.stdout
    temperature, _, pid = process.stdout.readline().split()
    assert temperature == "warm" and int(pid) != process.pid
    return process, int(pid)


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


def test_what_a_stage_imports_on_the_way_is_there_once_nobody_has_asked_for_a_while(project):
    deadline = time.monotonic() + 20
    while not finish(call(project, "probe", "do=look"))[1].endswith("True\n"):
        assert time.monotonic() < deadline
        time.sleep(1.5)


def test_stages_start_cold_where_the_system_has_no_such_sockets(project):
    """macOS has no SOCK_SEQPACKET of AF_UNIX, and no Linux has SOCK_RDM of it."""
    with pytest.raises(OSError, match="not supported"):
        socket.socket(socket.AF_UNIX, socket.SOCK_RDM)
    code = project / "adapt/runtime/fork_server.py"
    code.write_text(code.read_text(encoding="utf-8").replace("SOCK_SEQPACKET", "SOCK_RDM"), encoding="utf-8")
    assert finish(call(project, "first")) == (0, "first\n", "")
    status, said, complained = finish(call(project, "probe", "do=nothing"))
    assert (status, complained) == (0, "") and said.startswith("cold None ")


def test_what_the_first_has_imported_is_there(project):
    status, said, _ = finish(call(project, "probe", "do=nothing"))
    assert status == 0 and said.startswith("warm None ")


@pytest.mark.parametrize(
    ("do", "status", "complaint"), [("refuse", 1, "error: not like this\n"), ("break", 1, "broken")]
)
def test_failure_looks_as_it_does_cold(do, status, complaint, project):
    warm, cold = finish(call(project, "probe", f"do={do}")), finish(call(project, "probe", f"do={do}", ADAPT_WARM="no"))
    assert (warm[0], warm[1].split()[0]) == (status, "warm") and complaint in warm[2]
    assert (cold[0], cold[1].split()[0]) == (status, "cold") and complaint in cold[2]


def test_other_environment_starts_cold(project):
    assert finish(call(project, "probe", "do=nothing", GREETING="hello"))[1].startswith("cold hello ")


def test_variables_of_dvc_are_the_stages_own(project):
    assert finish(call(project, "probe", "do=nothing", DVC_EXP_NAME="other"))[1].startswith("warm ")


def test_changed_code_starts_cold(project):
    os.utime(project / "adapt/errors.py")
    assert finish(call(project, "probe", "do=nothing"))[1].startswith("cold ")


def test_without_dvc_it_starts_cold(project):
    command = [sys.executable, "-m", "stages.probe", "do=nothing"]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cold ")


def test_worker_stops_when_its_stage_is_killed(project):
    process, worker = start_waiting(project)
    process.kill()
    process.wait()
    assert gone(worker)


def test_signal_is_passed_on(project):
    process, worker = start_waiting(project)
    process.send_signal(signal.SIGTERM)
    status, _, complained = finish(process)
    assert status == 143 and complained.startswith("stopped by SIGTERM: run the same command again")
    assert gone(worker)


def test_killed_worker_is_a_failed_stage(project):
    process, worker = start_waiting(project)
    os.kill(worker, signal.SIGKILL)
    assert finish(process)[0] == 137


def test_server_ends_when_nobody_asks(project):
    assert finish(call(project, "probe", "do=nothing"))[1].startswith("warm ")
    time.sleep(7)
    assert finish(call(project, "probe", "do=nothing"))[1].startswith("cold ")
