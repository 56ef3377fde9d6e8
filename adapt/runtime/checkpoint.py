"""Checkpoints: unfinished work whose state is tensors and numbers."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from adapt.runtime import signals
from adapt.runtime.unfinished import Unfinished

T = TypeVar("T")


class Checkpoint(Unfinished):
    """A state of tensors, lists and numbers; the file says whose it is in its content as well."""

    suffix = ".pt"

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None when there is none, or it is not whole, or of another run."""
        if self.lock is None:
            return None
        try:
            kept = torch.load(self.path, weights_only=True)  # runs no code
            return kept["state"] if kept["fingerprint"] == self.fingerprint else None
        except Exception:  # torch does not say what it raises on a broken file
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state, at once."""
        buffer = io.BytesIO()  # torch's own writing says nothing of a full disk that could be told
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        self.write(buffer.getbuffer())


def map_resumable(store: Checkpoint | None, count: int, make: Callable[[int], T]) -> list[T]:
    """`make(0)`, `make(1)` … in order; those that are done already are taken from the store."""
    kept = store.load() if store else None
    done = kept["parts"] if kept else []
    with signals.deferred():
        for number in range(len(done), count):
            done.append(make(number))
            if store and (signals.stop_requested() or store.should_save()):
                store.save({"parts": done})
            signals.check_stop()
    return done
