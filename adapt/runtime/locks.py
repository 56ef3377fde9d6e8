"""One process at a time: locks on files, which the kernel frees when their holder dies, however it does."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from adapt.errors import UserError

TIMEOUT = 5.0  # a process whose DVC was killed saves what it has, and ends


def acquire(path: Path) -> TextIO | None:
    """The lock at `path`, held until it is closed (by forks of this process too); None where another has it."""
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
    """Give a lock back and leave nothing."""
    path.unlink(missing_ok=True)
    lock.close()


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises: UserError that names the process which has it, and did not end in TIMEOUT seconds.
    """
    deadline = time.monotonic() + TIMEOUT
    while (lock := acquire(path)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if lock is None:
        owner = path.read_text(encoding="utf-8").strip() or "unknown"
        raise UserError(
            f"{what} is running here already, as process {owner}; wait for its end or stop it, then run again"
        )
    try:
        yield
    finally:
        release(path, lock)
