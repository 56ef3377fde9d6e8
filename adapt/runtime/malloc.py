"""Settings of glibc's allocator, which CPU tensors use.

With another C library these functions do nothing.
"""

import ctypes
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from <malloc.h>


def keep_freed_pages() -> None:
    """Keep freed memory pages in the process.

    By default glibc returns large blocks to the OS, which then clears every page again. This affects allocations after
    the call.
    """
    call("mallopt", M_MMAP_MAX, 0)
    call("mallopt", M_TRIM_THRESHOLD, -1)


def trim_heap() -> None:
    """Return freed heap memory to the OS (`malloc_trim`).

    Call it between chunks of different sizes: heap fragmentation would otherwise make the process grow.
    """
    call("malloc_trim", 0)


def call(name: str, *arguments: int) -> None:
    """Call a function of the C library, if it has that function."""
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
