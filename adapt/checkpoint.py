"""Where unfinished work is kept, so that a killed run goes on where it stopped.

It lies outside every output of the pipeline, since DVC deletes a stage's outputs before it runs the stage again.
"""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from adapt import artefacts, interrupts, locks

T = TypeVar("T")


class Checkpoint:
    """One run's state, to be saved every so many seconds.

    run: stage and name of the run, such as "train/digits-adapt-1"
    fingerprint: of all that the run depends on. The file carries it in name and content, so that a run under other
        params or code never goes on from it.
    """

    def __init__(self, run: str, fingerprint: str, seconds: float):
        self.run, self.fingerprint, self.seconds = run, fingerprint, seconds
        root = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
        self.path = root / f"{run}-{fingerprint[:16]}.pt"
        # the same run in a second working copy of DVC's goes without: only one may write
        self.lock = locks.take(self.path.with_suffix(".lock"))
        self.last = time.monotonic()

    @classmethod
    def of(cls, run: str, seconds: float, *inputs: Any) -> "Checkpoint":
        """For a run that depends on these (see `artefacts.fingerprint`), and on all of the library's code."""
        return cls(run, artefacts.fingerprint(*inputs, *sorted(Path("adapt").rglob("*.py"))), seconds)

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None when there is none, or it is not whole, or of another run."""
        if self.lock is None:
            return None
        try:
            kept = torch.load(self.path, weights_only=True)  # runs no code
            return kept["state"] if kept["fingerprint"] == self.fingerprint else None
        except Exception:  # torch does not say what it raises on a broken file
            return None

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last >= self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state, at once."""
        if self.lock is not None:
            buffer = io.BytesIO()  # torch's own writing says nothing of a full disk that could be told
            torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
            with artefacts.whole(self.path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        self.last = time.monotonic()

    def clear(self) -> None:
        """Forget it: the run's results are written."""
        if self.lock is not None:
            self.path.unlink(missing_ok=True)
            locks.drop(self.path.with_suffix(".lock"), self.lock)

    def beside(self, suffix: str) -> Path | None:
        """The file next to it, for what is too large to be saved anew each time; None if another process has it."""
        return None if self.lock is None else self.path.with_suffix(suffix)

    def others(self) -> list[Path]:
        """What is kept of this run under other params or code: not used here, there for when they come back."""
        found = self.path.parent.glob(f"{self.path.name[:-19]}{'?' * 16}.pt")
        return sorted(path for path in found if path != self.path)


def collect(store: Checkpoint | None, count: int, make: Callable[[int], T]) -> list[T]:
    """`make(0)`, `make(1)` … in order; those that are done already are taken from the store."""
    kept = store.load() if store else None
    done = kept["parts"] if kept else []
    with interrupts.held():
        for number in range(len(done), count):
            done.append(make(number))
            if store and (interrupts.asked() or store.due()):
                store.save({"parts": done})
            interrupts.stop()
    return done
