"""Seeds side by side: one process a seed, one thread each.

On two cores two processes with two threads each ran more than ten times slower than with one each, and the small
matrix products of few-shot tuning gain little from a second thread.
"""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def for_each(work: Callable[[int], T], seeds: Iterable[int], *, processes: int, device: torch.device) -> list[T]:
    """`work(seed)` for every seed, in order; on a GPU one after the other.

    The processes are forked, so that what was loaded before (backbone, images) is there and shared. Set one thread
    before anything else is computed: a thread pool does not survive a fork.
    """
    seeds = list(seeds)
    if processes == 1 or len(seeds) == 1 or device.type != "cpu":
        return [work(seed) for seed in seeds]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        min(processes, len(seeds)), mp_context=context, initializer=_inherit, initargs=(work,)
    ) as pool:
        return list(pool.map(_call, seeds))


_work: Any


def _inherit(work: Callable[[int], Any]) -> None:
    """Take what a fork inherits: closures cannot be sent to a process that runs already."""
    global _work
    _work = work


def _call(seed: int) -> Any:
    return _work(seed)
