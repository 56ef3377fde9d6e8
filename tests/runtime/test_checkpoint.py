"""Checkpoints of unfinished work are complete, and found only by their own run.

Only one process at a time may open one.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adapt.runtime import signals
from adapt.runtime.checkpoint import map_resumable
from adapt.runtime.signals import Interrupted

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def not_asked(monkeypatch):
    monkeypatch.setattr(signals, "_asked", [])


def test_state_comes_back(checkpoint):
    checkpoint().save({"a": torch.arange(3), "rows": [{"loss": 0.1}]})
    state = checkpoint().load()
    assert state["a"].tolist() == [0, 1, 2] and state["rows"] == [{"loss": 0.1}]


def test_there_is_none_at_first(checkpoint):
    assert checkpoint().load() is None


def test_state_of_other_params_is_not_used_but_told_of(checkpoint):
    first = checkpoint(fingerprint="a" * 64)
    first.save({})
    other = checkpoint(fingerprint="b" * 64)
    assert other.load() is None and other.stale() == [first.path]


def test_state_under_a_wrong_name_is_not_used(checkpoint):
    first = checkpoint(fingerprint="a" * 64)
    first.save({})
    other = checkpoint(fingerprint="b" * 64)
    first.path.rename(other.path)
    assert other.load() is None


def test_another_run_is_not_told_of(checkpoint):
    checkpoint(run="train/digits-adapt-1").save({})
    assert checkpoint(run="train/digits-adapt-11", fingerprint="b" * 64).stale() == []


def test_broken_state_counts_as_none(checkpoint):
    store = checkpoint()
    store.save({"a": torch.zeros(1000)})
    store.path.write_bytes(store.path.read_bytes()[:700])
    assert store.load() is None


def test_code_in_a_checkpoint_does_not_run(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    store = checkpoint()
    torch.save({"fingerprint": store.fingerprint, "state": Evil()}, store.path)
    assert store.load() is None and not (tmp_path / "ran").exists()


def test_clearing_leaves_nothing(checkpoint):
    store = checkpoint()
    store.save({})
    store.clear()
    assert list(store.path.parent.iterdir()) == []


def test_second_process_at_the_same_run_goes_without(checkpoint, tmp_path):
    store = checkpoint()
    store.save({"a": 1})
    code = (
        "from pathlib import Path; from adapt.runtime.checkpoint import Checkpoint; "
        "store = Checkpoint(Path('.scratch/train/run'), 'f' * 64, 0); "
        "print(store.lock, store.load()); store.save({'a': 2}); store.clear()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None None\n"
    assert store.load() == {"a": 1}


def test_it_is_due_after_so_many_seconds(checkpoint):
    assert checkpoint(0.0).should_save() and not checkpoint(1e9).should_save()


def test_collecting_goes_on_after_what_is_done(checkpoint):
    made = []

    def make(number: int) -> torch.Tensor:
        if number == 3 and len(made) == 3:
            raise KeyError
        made.append(number)
        return torch.tensor([number])

    with pytest.raises(KeyError):
        map_resumable(checkpoint(), 5, make)
    made.append(None)
    assert torch.cat(map_resumable(checkpoint(), 5, make)).tolist() == [0, 1, 2, 3, 4]
    assert made == [0, 1, 2, None, 3, 4]


def test_collecting_stops_after_the_part_in_which_it_is_asked_to(checkpoint):
    def make(number: int) -> int:
        if number == 2:
            signals.request_stop(signal.SIGINT)
        return number

    store = checkpoint(1e9)
    with pytest.raises(Interrupted) as stop:
        map_resumable(store, 5, make)
    assert stop.value.code == 130 and store.load() == {"parts": [0, 1, 2]}
