"""Work side by side, in forked processes: seeds, one thread each, and images to decode.

On two cores two processes with two threads each ran more than ten times slower than with one each, and the small
matrix products of few-shot tuning gain little from a second thread.
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
    """`work(item)` for every item, in order, as they are done; a process takes `chunk` items at a time.

    setting: what says how many processes, for the message when one is killed

    The processes are forked, so that what was loaded before (backbone, images) is there and shared. Set one thread
    before anything else is computed: a thread pool does not survive a fork. Where a fork is not safe, all is done here.
    Raises: Interrupted when this process or one of a seed is asked to stop; by then all have saved and ended.
    """
    items = list(items)
    processes = min(processes, -(-len(items) // chunk)) if platforms.can_fork() else 1
    if processes <= 1:
        yield from map(work, items)
        return
    with _forked(processes, work, f"set {setting} lower if so, and run again: what was saved is kept") as pool:
        yield from pool.map(_call, items, chunksize=chunk)


def apart(work: Callable[[], T]) -> T:
    """What some work returns in a forked process of its own, so that nothing it starts is left here.

    Where a fork is not safe, it is done here.
    Raises: Interrupted when this process is asked to stop; the other is killed then, since it has nothing to save.
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
    """Processes for some work, which `stop` ends with this one; `advice` follows where one was killed."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_inherit, initargs=(work,)) as pool:
        try:
            yield pool
        except (signals.Interrupted, GeneratorExit):  # the latter: nobody wants more
            for child in multiprocessing.active_children():  # a signal to this process alone does not reach them
                stop(child)
            raise
        except BrokenProcessPool:
            raise UserError(f"a process was killed, perhaps for lack of memory; {advice}") from None


_work: Any


def _inherit(work: Callable[[Any], Any]) -> None:
    """Take what a fork inherits: closures cannot be sent to a process that runs already."""
    global _work
    _work = work
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    parent_lives = signals.parent_is(parent.pid)
    # since Python 3.12 a broken pool wakes no worker that waits for more work: once asked to stop, it ends by itself
    signals.stop_with(lambda: parent_lives() and not signals.stop_requested())


def _call(item: Any) -> Any:
    signals.check_stop()  # asked while it worked on another
    return _work(item)
