"""Where the checkpoints of stages are: .scratch/, outside every output, which DVC deletes before it runs a stage."""

import os
from pathlib import Path
from typing import Any

from adapt.runtime import checkpoint
from adapt.runtime.checkpoint import Checkpoint


def open_checkpoint(run: str, seconds: float, *inputs: Any) -> Checkpoint:
    """The checkpoint of a run that depends on these inputs (see `fingerprint`) and on all of the library's code.

    run: stage and item, such as "train/digits-adapt-1".
    """
    root = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
    return checkpoint.open_checkpoint(root / run, seconds, *inputs)
