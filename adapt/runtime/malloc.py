"""glibc's allocator, which the tensors on a CPU come from; with another C library nothing happens."""

import ctypes
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


def keep_freed_pages() -> None:
    """Keep freed pages in the process: glibc returns large blocks to the OS, which clears every page again.

    It holds for allocations after the call.
    """
    call("mallopt", M_MMAP_MAX, 0)
    call("mallopt", M_TRIM_THRESHOLD, -1)


def trim_heap() -> None:
    """Return freed heap memory to the OS (`malloc_trim`).

    Call it between chunks of different sizes: heap fragmentation would otherwise make the process grow.
    """
    call("malloc_trim", 0)


def call(name: str, *arguments: int) -> None:
    """A function of the C library, if that has it."""
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
