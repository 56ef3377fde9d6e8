"""What operating systems do differently: memory, room on the disk, fork. docs/platforms.md says what was tried."""

import os
import resource
import sys
from pathlib import Path

BLOCK = 1 << 20  # bytes
FORK = "ADAPT_FORK"  # `yes` in the environment: fork all the same


def peak_memory(whose: int = resource.RUSAGE_SELF) -> int:
    """The most bytes that this process, or with RUSAGE_CHILDREN one of those that it has waited for, has held."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(whose).ru_maxrss * unit


def reserve_space(path: Path) -> None:
    """Take room on the disk for all of a file that has its size but may have holes.

    A full disk is an error now rather than a bus error when the file, mapped into memory, is filled.
    """
    with path.open("r+b", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            return
        while block := file.read(BLOCK):  # macOS has no such call: what is there is written once more
            file.seek(-len(block), os.SEEK_CUR)
            file.write(block)


def can_fork() -> bool:
    """Whether a fork of this process may compute: not on macOS after torch, since its libraries may crash or hang."""
    return sys.platform != "darwin" or "torch" not in sys.modules or os.environ.get(FORK) == "yes"
