"""File locks: one process at a time.

The kernel releases a lock when its holder dies, however it dies.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from adapt.errors import UserError

TIMEOUT = 5.0  # seconds: enough for a process whose DVC was killed to save its state and end


def acquire(path: Path) -> TextIO | None:
    """Return the lock at `path`, or None if another process holds it.

    It is held until it is closed, in forks of this process too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        try:
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                return file
        except FileNotFoundError:
            pass
        file.close()  # its holder removed it in the meantime


def release(path: Path, lock: TextIO) -> None:
    """Release a lock and remove its file."""
    path.unlink(missing_ok=True)
    lock.close()


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the block runs.

    what: names the work, for the message

    Raises: UserError that names the process that holds the lock, if it does not end in TIMEOUT seconds.
    """
    deadline = time.monotonic() + TIMEOUT
    while (lock := acquire(path)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if lock is None:
        owner = path.read_text(encoding="utf-8").strip() or "unknown"
        raise UserError(
            f"{what} is running here already, as process {owner}; wait until it ends or stop it, then run again"
        )
    try:
        yield
    finally:
        release(path, lock)
