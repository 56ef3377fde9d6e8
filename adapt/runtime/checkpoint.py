"""Checkpoints: the state of unfinished work, from which a killed run resumes."""

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
    """A run's state of tensors, lists and numbers, to be saved every `seconds`.

    run: the path of the run, without a suffix
    fingerprint: of everything that the run depends on; it is in the file's name and content, so that a run with other
        inputs never resumes from the file
    """

    def __init__(self, run: Path, fingerprint: str, seconds: float):
        self.run, self.fingerprint, self.seconds = run, fingerprint, seconds
        self.path = run.with_name(f"{run.name}-{fingerprint[:16]}.pt")
        # the same run in a second process has no checkpoint: only one may write
        self.lock = locks.acquire(self.path.with_suffix(".lock"))
        self.last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state.

        Return None if there is none, or if it is broken or of another run.
        """
        if self.lock is None:
            return None
        try:
            # on the CPU, also if a GPU saved it; `weights_only` runs no pickled code
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            return kept["state"] if kept["fingerprint"] == self.fingerprint else None
        except Exception:  # torch does not document its errors on a broken file
            return None

    def should_save(self) -> bool:
        """Return whether it is time to save."""
        return time.monotonic() - self.last >= self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state now."""
        if self.lock is not None:
            buffer = io.BytesIO()  # when torch writes the file itself, its error does not tell that the disk is full
            torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
            with files.atomic_write(self.path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        self.last = time.monotonic()

    def clear(self) -> None:
        """Delete the state, once the run's results are written."""
        if self.lock is not None:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the run's lock; the saved state stays."""
        if self.lock is not None:
            locks.release(self.path.with_suffix(".lock"), self.lock)
            self.lock = None

    def stale(self) -> list[Path]:
        """Return the states of this run with other inputs.

        They are not used here, but stay for when those inputs return.
        """
        found = self.run.parent.glob(f"{self.run.name}-{'?' * 16}.pt")
        return sorted(path for path in found if path != self.path)

    def remarks(self) -> list[str]:
        """Return what the user should know about the checkpoint, a sentence each."""
        found = [f"a checkpoint made with other params or code is not used: {path}" for path in self.stale()[:1]]
        if self.lock is None:
            found.append("another process is doing the same run and holds its checkpoint; this one saves none")
        return found


def open_checkpoint(run: Path, seconds: float, *inputs: Any) -> Checkpoint:
    """Open the checkpoint of a run.

    The run depends on these inputs (see `fingerprint`) and on all of the library's code.
    """
    return Checkpoint(run, fingerprint(*inputs, *sorted(PACKAGE.rglob("*.py"))), seconds)


def map_resumable(
    store: Checkpoint | None,
    count: int,
    make: Callable[[int], T],
    *,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[T]:
    """Return [`make(0)`, `make(1)`, …], taking finished ones from the store.

    progress: wraps the numbers that are left
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
