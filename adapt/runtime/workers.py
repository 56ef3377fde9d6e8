"""Parallel work in forked processes: seeds (one thread each) and image decoding.

On two cores, two processes with two threads each ran more than ten times slower than with one thread each, and the
small matrix products of few-shot tuning gain little from a second thread.
"""

import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from adapt.errors import UserError
from adapt.runtime import platforms, signals

Item = TypeVar("Item")
T = TypeVar("T")


def run(
    work: Callable[[Item], T], items: Iterable[Item], *, processes: int, setting: str, chunk: int = 1
) -> Generator[T, None, None]:
    """Yield `work(item)` for every item, in order, from parallel processes.

    chunk: how many items a process takes at a time
    setting: the setting that gives the number of processes, for the message when one is killed

    The processes are forked, so that they share what is already loaded (backbone, images). Set one thread before
    anything is computed: a thread pool does not survive a fork. Where a fork is not safe, everything runs in this
    process.

    Raises: Interrupted when this process or one of the others is asked to stop; by then all have saved and ended.
    """
    items = list(items)
    processes = min(processes, -(-len(items) // chunk)) if platforms.can_fork() else 1
    if processes <= 1:
        yield from map(work, items)
        return
    with _forked(processes, work, f"if so, lower {setting} and run again: what was saved is kept") as pool:
        yield from pool.map(_call, items, chunksize=chunk)


def apart(work: Callable[[], T]) -> T:
    """Return the result of some work in a forked process of its own.

    Nothing that the work starts is left in this process. Where a fork is not safe, the work runs in this process.

    Raises: Interrupted when this process is asked to stop; the other is then killed, since it has nothing to save.
    """
    if not platforms.can_fork():
        return work()
    with _forked(1, lambda _: work(), "if so, free some and run again", stop=BaseProcess.kill) as pool:
        return pool.submit(_call, None).result()


@contextmanager
def _forked(
    processes: int,
    work: Callable[[Any], Any],
    advice: str,
    stop: Callable[[BaseProcess], None] = BaseProcess.terminate,
) -> Iterator[ProcessPoolExecutor]:
    """Provide a pool of forked processes for some work.

    advice: ends the message when a process was killed
    stop: ends a process when this one is asked to stop
    """
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_inherit, initargs=(work,)) as pool:
        try:
            yield pool
        except (signals.Interrupted, GeneratorExit):  # GeneratorExit: the caller needs no more results
            for child in multiprocessing.active_children():  # a signal sent to this process alone does not reach them
                stop(child)
            raise
        except BrokenProcessPool:
            raise UserError(f"a process was killed, perhaps for lack of memory; {advice}") from None


_work: Any


def _inherit(work: Callable[[Any], Any]) -> None:
    """Set the work that a forked process inherits.

    A closure cannot be sent to a process that runs already.
    """
    global _work
    _work = work
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    parent_lives = signals.parent_is(parent.pid)
    # since Python 3.12 a broken pool does not wake its idle workers: once asked to stop, a worker ends by itself
    signals.stop_with(lambda: parent_lives() and not signals.stop_requested())


def _call(item: Any) -> Any:
    signals.check_stop()  # the request may have come during the previous item
    return _work(item)
