"""Where a run's state is kept between epochs, so that a killed run goes on where it stopped.

It lies outside every output of the pipeline, since DVC deletes a stage's outputs before it runs the stage again.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from adapt import artefacts


class Checkpoint:
    """One run's state, named by the fingerprint of all that the run depends on: another run never finds it."""

    def __init__(self, name: str):
        self.path = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch" / "train" / f"{name}.pt"

    def load(self) -> dict[str, Any] | None:
        """The last saved state; None when there is none or it is not whole."""
        try:
            return torch.load(self.path, weights_only=True)
        except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state, at once."""
        with artefacts.whole(self.path) as temporary:
            torch.save(state, temporary)

    def clear(self) -> None:
        """Forget it: the run's results are written."""
        self.path.unlink(missing_ok=True)
