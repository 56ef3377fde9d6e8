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
_asked: list[int] = []  # the signals received
_holders: list[None] = []


class Interrupted(SystemExit):
    """A request to stop, by signal `number`.

    If not caught, it exits with the status that shells give for that signal.
    """

    def __init__(self, number: int):
        super().__init__(number)  # pickle passes this argument when a seed's process sends the exception
        self.number, self.code = number, 128 + number


def install() -> None:
    """Handle the signals, in the main thread.

    A signal that is ignored, as under nohup, stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, request_stop)


@contextmanager
def installed() -> Iterator[None]:
    """Handle the signals within the block, for a library.

    `install` handles them for a whole process, but the caller of a library has its own handlers. A signal that arrives
    within the block is raised again for these at the end, so Ctrl-C then is a KeyboardInterrupt. Outside of the main
    thread nothing is done.
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
        raise KeyboardInterrupt  # the caller's handler did not raise, but the work has been stopped


def request_stop(number: int, frame: FrameType | None = None) -> None:
    """Record a request to stop.

    Raises: Interrupted, unless inside `deferred`.
    """
    _asked.append(number)
    if not _holders:
        check_stop()


def stop_requested() -> bool:
    """Return whether to stop after this step."""
    return bool(_asked)


def check_stop() -> None:
    """Raise Interrupted if a stop was requested."""
    if _asked:
        raise Interrupted(_asked[0])


@contextmanager
def deferred() -> Iterator[None]:
    """Only record signals within the block.

    Call `stop_requested` there, save the state, then call `check_stop`. The end of the block calls it too.
    """
    _holders.append(None)
    try:
        yield
    finally:
        _holders.pop()
    check_stop()


def stop_with(awaited: Callable[[], bool]) -> None:
    """Stop this process once nobody waits for its results any more.

    awaited: returns whether somebody still waits
    """

    def watch() -> None:
        while awaited():
            time.sleep(0.5)
        while True:  # repeat, since a pool's process that has stopped its work waits for more
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2)

    threading.Thread(target=watch, daemon=True).start()


def parent_is(pid: int) -> Callable[[], bool]:
    """Return a function that tells whether `pid` is still this process's parent."""
    return lambda: os.getppid() == pid
