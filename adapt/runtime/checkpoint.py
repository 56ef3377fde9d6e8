"""Checkpoints: the state of unfinished work, so that a killed run goes on where it stopped."""

import io
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch

from adapt.runtime import files, locks, signals
from adapt.runtime.formats import fingerprint
from adapt.runtime.packaged import PACKAGE

T = TypeVar("T")


class Checkpoint:
    """One run's state of tensors, lists and numbers, to be saved every `seconds`.

    run: the path of the run, without an ending
    fingerprint: of all that the run depends on; it is in the file's name and in its content, so that a run with other
        inputs never goes on from it.
    """

    def __init__(self, run: Path, fingerprint: str, seconds: float):
        self.run, self.fingerprint, self.seconds = run, fingerprint, seconds
        self.path = run.with_name(f"{run.name}-{fingerprint[:16]}.pt")
        # the same run in a second process goes without: only one may write
        self.lock = locks.acquire(self.path.with_suffix(".lock"))
        self.last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None when there is none, or it is not whole, or of another run."""
        if self.lock is None:
            return None
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)  # also what a GPU saved; runs no code
            return kept["state"] if kept["fingerprint"] == self.fingerprint else None
        except Exception:  # torch does not say what it raises on a broken file
            return None

    def should_save(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last >= self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state, at once."""
        if self.lock is not None:
            buffer = io.BytesIO()  # torch's own writing says nothing of a full disk that could be told
            torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
            with files.atomic_write(self.path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        self.last = time.monotonic()

    def clear(self) -> None:
        """Delete the state: the run's results are written."""
        if self.lock is not None:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others have the run; what is saved stays."""
        if self.lock is not None:
            locks.release(self.path.with_suffix(".lock"), self.lock)
            self.lock = None

    def stale(self) -> list[Path]:
        """The states of this run with other inputs: not used here, there for when those come back."""
        found = self.run.parent.glob(f"{self.run.name}-{'?' * 16}.pt")
        return sorted(path for path in found if path != self.path)

    def remarks(self) -> list[str]:
        """What the user should know of it, a sentence each."""
        found = [f"not used, since it is of other params or code: {path}" for path in self.stale()[:1]]
        if self.lock is None:
            found.append("another process is at this very run and keeps its checkpoint; this one goes without")
        return found


def open_checkpoint(run: Path, seconds: float, *inputs: Any) -> Checkpoint:
    """The checkpoint of a run that depends on these inputs (see `fingerprint`) and on all of the library's code."""
    return Checkpoint(run, fingerprint(*inputs, *sorted(PACKAGE.rglob("*.py"))), seconds)


def map_resumable(
    store: Checkpoint | None,
    count: int,
    make: Callable[[int], T],
    *,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[T]:
    """`make(0)`, `make(1)` … in order; those that are done already are taken from the store.

    progress: around the numbers that are left.
    """
    kept = store.load() if store else None
    done = kept["parts"] if kept else []
    with signals.deferred():
        for number in progress(range(len(done), count)):
            done.append(make(number))
            if store and (signals.stop_requested() or store.should_save()):
                store.save({"parts": done})
            signals.check_stop()
    return done
