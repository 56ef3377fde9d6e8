"""Seeds side by side: results in order, and no process outlives a stop or a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from adapt.runtime import workers
from tests.runtime.test_signals import running

CPU = torch.device("cpu")
STAGE = """
import os, time
from pathlib import Path
import torch
from adapt.pipeline import stage
from adapt.runtime import workers
from adapt.runtime.checkpoint import Checkpoint, map_resumable

def work(seed):
    Path(f"pid_{seed}").write_text(str(os.getpid()))
    def part(number):
        time.sleep(0.02)
        Path(f"part_{seed}_{number}").touch()
        return number
    return map_resumable(stores[seed], 100_000, part)

stores = {seed: Checkpoint(Path(f".scratch/seeds/{seed}"), "f" * 64, 1e9) for seed in (1, 2, 3)}
stage.exit_on_error(lambda: list(workers.run(work, [1, 2, 3], processes=PROCESSES, setting="runtime.parallel_seeds")))
"""


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_seeds(processes):
    found = workers.run(lambda seed: seed * 10, [3, 1, 2], processes=processes, setting="runtime.parallel_seeds")
    assert list(found) == [30, 10, 20]


@pytest.fixture
def start(tmp_path):
    """A function that starts three seeds, or another script.

    It returns the process and the pids once all of them are at work.
    """
    started = []

    def make(processes: int = 3, script: str = STAGE) -> tuple[subprocess.Popen, list[int]]:
        code = script.replace("PROCESSES", str(processes))
        path = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path, env={**os.environ, **path}, text=True, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=listen,
        )  # fmt: skip
        started.append(process)
        wait_for(lambda: len(list(tmp_path.glob("part_?_1"))) == processes)
        return process, [int(path.read_text(encoding="utf-8")) for path in tmp_path.glob("pid_*")]

    yield make
    for process in started:
        process.kill()


def listen() -> None:
    """Whoever runs the tests in the background has the keyboard's signal ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(fact) -> None:
    deadline = time.monotonic() + 40
    while not fact():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def kept(folder: Path) -> list[str]:
    return sorted(path.name[0] for path in folder.glob(".scratch/seeds/*.pt"))


@pytest.mark.parametrize("processes", [1, 3])
def test_stopped_alone_it_stops_its_seeds_which_save(processes, start, tmp_path):
    process, pids = start(processes)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 143
    assert said == "stopped by SIGTERM: run the same command again to resume from the saved state\n"
    assert not any(map(running, pids))
    assert kept(tmp_path) == [str(seed) for seed in range(1, processes + 1)]


def test_stopped_from_the_keyboard_all_save(start, tmp_path):
    process, pids = start()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=40)
    assert (process.returncode, said) == (
        130,
        "stopped by SIGINT: run the same command again to resume from the saved state\n",
    )
    assert not any(map(running, pids)) and kept(tmp_path) == ["1", "2", "3"]


def test_when_it_is_killed_its_seeds_save_and_end(start, tmp_path):
    process, pids = start()
    process.kill()
    wait_for(lambda: not any(map(running, pids)))
    assert kept(tmp_path) == ["1", "2", "3"]


def test_seed_that_is_killed_ends_the_stage_with_a_sentence(start):
    process, pids = start()
    os.kill(pids[0], signal.SIGKILL)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 1 and not any(map(running, pids))
    assert said == (
        "error: a process was killed, perhaps for lack of memory; if so, lower runtime.parallel_seeds and "
        "run again: what was saved is kept\n"
    )


APART = """
import os, time
from pathlib import Path
from adapt.pipeline import stage
from adapt.runtime import signals, workers

def work():
    Path("pid_1").write_text(str(os.getpid()))
    Path("part_1_1").touch()
    with signals.deferred():  # as where a signal does not reach it
        time.sleep(60)

stage.exit_on_error(lambda: workers.apart(work))
"""


def test_work_apart_that_is_killed_ends_the_stage_with_a_sentence(start):
    process, (pid,) = start(1, APART)
    os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=40)
    assert (process.returncode, said) == (
        1,
        "error: a process was killed, perhaps for lack of memory; if so, free some and run again\n",
    )


def test_stopped_alone_it_does_not_wait_for_work_apart(start):
    process, (pid,) = start(1, APART)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=40)
    assert process.returncode == 143 and not running(pid)


def test_error_of_work_apart_is_its_own():
    with pytest.raises(ZeroDivisionError):
        workers.apart(lambda: 1 / 0)
