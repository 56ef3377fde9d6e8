"""Graceful shutdown on SIGINT, SIGTERM or death of the parent process.

A request raises `Interrupted` immediately; inside `deferred()` it is only recorded, and raised at the end of the
current training step.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_asked: list[int] = []  # the signals that came
_holders: list[None] = []


class Interrupted(SystemExit):
    """Asked to stop by signal `number`; not caught, it is the exit status that shells give for that signal."""

    def __init__(self, number: int):
        super().__init__(number)  # what pickle calls it with, on the way from a seed's process
        self.number, self.code = number, 128 + number


def install() -> None:
    """Listen, in the main thread; a signal that is ignored, as by nohup, stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, request_stop)


@contextmanager
def installed() -> Iterator[None]:
    """Listen within the block, as `install` does for a whole process; for a library, whose caller has its own ways.

    What was asked for meanwhile is asked anew of the caller's handlers at the end: Ctrl-C is a KeyboardInterrupt then.
    Outside of the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is not None}
    asked = None
    install()
    try:
        yield
    except Interrupted as stop:
        asked = stop.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()
    if asked is not None:
        signal.raise_signal(asked)
        raise KeyboardInterrupt  # the caller's handler only took note: the work is stopped all the same


def request_stop(number: int, frame: FrameType | None = None) -> None:
    """Record a request; raises Interrupted outside of `deferred`."""
    _asked.append(number)
    if not _holders:
        check_stop()


def stop_requested() -> bool:
    """Whether to stop after this step."""
    return bool(_asked)


def check_stop() -> None:
    """Raise Interrupted if a stop was requested."""
    if _asked:
        raise Interrupted(_asked[0])


@contextmanager
def deferred() -> Iterator[None]:
    """Only record signals within: call `stop_requested`, save what there is, then `check_stop`."""
    _holders.append(None)
    try:
        yield
    finally:
        _holders.pop()
    check_stop()


def stop_with(awaited: Callable[[], bool]) -> None:
    """From now on, stop when nobody waits for this process's results any more, as `awaited` tells."""

    def watch() -> None:
        while awaited():
            time.sleep(0.5)
        while True:  # again, since a process of a pool that has stopped its work waits for more
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2)

    threading.Thread(target=watch, daemon=True).start()


def parent_is(pid: int) -> Callable[[], bool]:
    """Whether `pid` is still this process's parent."""
    return lambda: os.getppid() == pid
