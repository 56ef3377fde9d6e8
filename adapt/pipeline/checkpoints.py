"""Where the checkpoints of stages are: .scratch/, outside every output, which DVC deletes before it runs a stage."""

import os
from pathlib import Path
from typing import Any

import adapt
from adapt.runtime.checkpoint import Checkpoint
from adapt.runtime.formats import fingerprint


def open_checkpoint(run: str, seconds: float, *inputs: Any) -> Checkpoint:
    """The checkpoint of a run that depends on these inputs (see `fingerprint`) and on all of the library's code.

    run: stage and item, such as "train/digits-adapt-1".
    """
    root = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
    code = sorted(path for folder in adapt.__path__ for path in Path(folder).rglob("*.py"))
    return Checkpoint(root / run, fingerprint(*inputs, *code), seconds)
