"""glibc's allocator, which the tensors on a CPU come from; with another C library nothing happens."""

import ctypes
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


def keep_freed_pages() -> None:
    """Keep what tensors give back: glibc returns large blocks to the system, which clears every page again.

    For allocations after the call.
    """
    call("mallopt", M_MMAP_MAX, 0)
    call("mallopt", M_TRIM_THRESHOLD, -1)


def trim_heap() -> None:
    """Return to the system what is free.

    Between pieces of work of different sizes: the gaps that one leaves do not fit the next, so that memory would grow.
    """
    call("malloc_trim", 0)


def call(name: str, *arguments: int) -> None:
    """A function of the C library, if that has it."""
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
