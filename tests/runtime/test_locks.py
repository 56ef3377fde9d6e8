"""Locks: one holder at a time, and a dead one holds nothing."""

import subprocess
import sys

import pytest

from adapt.errors import UserError
from adapt.runtime import locks

HOLD = (
    "import sys, time; from pathlib import Path; from adapt.runtime import locks; "
    "lock = locks.acquire(Path(sys.argv[1])); "
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD + "print(lock is not None, flush=True); time.sleep(60)", tmp_path / "x"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()


def test_second_holder_is_refused_with_the_pid_of_the_first(holder, tmp_path):
    with pytest.raises(UserError) as error, locks.exclusive(tmp_path / "x", "train@digits-adapt"):
        pass
    assert str(error.value) == (
        f"train@digits-adapt is running here already, as process {holder.pid}; wait until it ends or stop it, then run "
        "again"
    )


def test_killed_holder_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locks.exclusive(tmp_path / "x", "it"):
        assert (tmp_path / "x").exists()
    assert not (tmp_path / "x").exists()


def test_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with locks.exclusive(tmp_path / "a" / "x", "it"):
            pass
