"""Differences between operating systems: memory, disk space, fork.

docs/platforms.md lists what was tried.
"""

import os
import resource
import sys
from pathlib import Path

BLOCK = 1 << 20  # bytes
FORK = "ADAPT_FORK"  # `yes` in the environment: fork anyway


def peak_memory(whose: int = resource.RUSAGE_SELF) -> int:
    """Return the peak memory of this process, in bytes.

    whose: RUSAGE_CHILDREN for the largest of the children that this process has waited for
    """
    unit = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss
    return resource.getrusage(whose).ru_maxrss * unit


def reserve_space(path: Path) -> None:
    """Reserve disk space for a whole file that has its size but may have holes.

    A full disk is then an error now, rather than a bus error when the memory-mapped file is filled.
    """
    with path.open("r+b", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            return
        while block := file.read(BLOCK):  # macOS has no such call, so write the content again
            file.seek(-len(block), os.SEEK_CUR)
            file.write(block)


def can_fork() -> bool:
    """Return whether a fork of this process may compute.

    On macOS it may not once torch is imported, since macOS's libraries may crash or hang.
    """
    return sys.platform != "darwin" or "torch" not in sys.modules or os.environ.get(FORK) == "yes"
