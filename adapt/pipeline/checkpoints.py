"""The place of the stages' checkpoints: .scratch/.

It is outside every output, since DVC deletes outputs before it runs a stage.
"""

import os
from pathlib import Path
from typing import Any

from adapt.runtime import checkpoint
from adapt.runtime.checkpoint import Checkpoint


def open_checkpoint(run: str, seconds: float, *inputs: Any) -> Checkpoint:
    """Open the checkpoint of a run.

    The run depends on these inputs (see `fingerprint`) and on all of the library's code.

    run: stage and item, such as "train/digits-adapt-1".
    """
    root = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
    return checkpoint.open_checkpoint(root / run, seconds, *inputs)
