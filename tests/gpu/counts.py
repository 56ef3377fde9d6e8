"""The counts of the preloaded CUDA runtime, in a process on the pretended GPU."""

import ctypes

LAUNCHES = ("kernels", "gemms", "memsets", "d2d")  # what the device has to be told of, copies from the host apart


def read() -> dict[str, int]:
    """All counters by name."""
    fake = ctypes.CDLL(None)
    fake.fake_counters.restype = ctypes.c_char_p
    names = fake.fake_counters().decode().split()
    values = (ctypes.c_long * len(names))()
    fake.fake_counts(values)
    return dict(zip(names, values, strict=True))


def launches() -> int:
    """Return how many launches the device has received."""
    counts = read()
    return sum(counts[name] for name in LAUNCHES)


def kernels() -> dict[str, int]:
    """Launches by the kernel's name, as the linker writes it."""
    found: dict[str, int] = {}
    kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_long)
    ctypes.CDLL(None).fake_each_kernel(kind(lambda name, count: found.update({name.decode(): count})))
    return found


def compiled() -> int:
    """Return the launches of kernels that Triton compiled while the process ran.

    Their names are not C++'s.
    """
    return sum(count for name, count in kernels().items() if not name.startswith("_Z"))


def reset() -> None:
    """Count from 0 again."""
    ctypes.CDLL(None).fake_reset()
