"""Seeds side by side: one process a seed, one thread each.

On two cores two processes with two threads each ran more than ten times slower than with one each, and the small
matrix products of few-shot tuning gain little from a second thread.
"""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from adapt import interrupts
from adapt.errors import UserError

T = TypeVar("T")


def for_each(work: Callable[[int], T], seeds: Iterable[int], *, processes: int, device: torch.device) -> list[T]:
    """`work(seed)` for every seed, in order; on a GPU one after the other.

    The processes are forked, so that what was loaded before (backbone, images) is there and shared. Set one thread
    before anything else is computed: a thread pool does not survive a fork.
    Raises: Interrupted when this process or one of a seed is asked to stop; by then all have saved and ended.
    """
    seeds = list(seeds)
    if processes == 1 or len(seeds) == 1 or device.type != "cpu":
        return [work(seed) for seed in seeds]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        min(processes, len(seeds)), mp_context=context, initializer=_inherit, initargs=(work,)
    ) as pool:
        try:
            return list(pool.map(_call, seeds))
        except interrupts.Interrupted:
            for child in multiprocessing.active_children():  # a signal to this process alone does not reach them
                child.terminate()
            raise
        except BrokenProcessPool:
            raise UserError(
                "the process of a seed was killed, perhaps for lack of memory; set runtime.processes lower if so, and "
                "run again: it goes on where it stopped"
            ) from None


_work: Any


def _inherit(work: Callable[[int], Any]) -> None:
    """Take what a fork inherits: closures cannot be sent to a process that runs already."""
    global _work
    _work = work
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    interrupts.follow(parent.pid)


def _call(seed: int) -> Any:
    interrupts.stop()  # asked while it tuned another
    return _work(seed)
