"""Requests to stop: at once, at the end of a step, and when the parent is gone."""

import pickle
import signal
import subprocess
import sys
import time

import psutil
import pytest

from adapt.runtime import signals
from adapt.runtime.signals import Interrupted


@pytest.fixture(autouse=True)
def not_asked(monkeypatch):
    monkeypatch.setattr(signals, "_asked", [])


def test_it_stops_at_once():
    with pytest.raises(Interrupted) as stop:
        signals.request_stop(signal.SIGTERM)
    assert stop.value.code == 143


def test_held_it_stops_in_the_end():
    done = []
    with pytest.raises(Interrupted) as stop, signals.deferred():
        signals.request_stop(signal.SIGINT)
        done.append(signals.stop_requested())
    assert done == [True] and stop.value.code == 130


def test_it_comes_whole_from_another_process():
    error = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM)))
    assert (error.number, error.code) == (15, 143)


def test_ignored_signal_stays_ignored():
    code = (
        "import os, signal; from adapt.runtime import signals; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "signals.install(); os.kill(os.getpid(), signal.SIGINT); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "alive\n"


def test_it_stops_when_its_parent_is_killed():
    child = (
        "import os, time; from adapt.runtime import signals; signals.install(); "
        "signals.stop_with(signals.parent_is(os.getppid())); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and running(pid):
        time.sleep(0.05)
    assert not running(pid)


def running(pid: int) -> bool:
    """Whether a process is there and not a zombie that nobody waits for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
