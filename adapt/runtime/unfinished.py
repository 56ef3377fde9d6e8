"""Where unfinished work is kept, so that a killed run goes on where it stopped.

It lies outside every output of the pipeline, since DVC deletes a stage's outputs before it runs the stage again.
"""

import os
import time
from pathlib import Path
from typing import Any, ClassVar, Self

from adapt.runtime import files, locks


class Unfinished:
    """One run's state, to be saved every so many seconds; how it is written is a subclass's.

    run: stage and name of the run, such as "train/digits-adapt-1"
    fingerprint: of all that the run depends on; it is in the file's name, so that a run under other params or code
        never goes on from it.
    """

    suffix: ClassVar[str]

    def __init__(self, run: str, fingerprint: str, seconds: float):
        self.run, self.fingerprint, self.seconds = run, fingerprint, seconds
        root = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
        self.path = root / f"{run}-{fingerprint[:16]}{self.suffix}"
        # the same run in a second working copy of DVC's goes without: only one may write
        self.lock = locks.acquire(self.path.with_suffix(".lock"))
        self.last = time.monotonic()

    @classmethod
    def of(cls, run: str, seconds: float, *inputs: Any) -> Self:
        """For a run that depends on these (see `artefacts.fingerprint`), and on all of the library's code."""
        return cls(run, files.fingerprint(*inputs, *sorted(Path("adapt").rglob("*.py"))), seconds)

    def should_save(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last >= self.seconds

    def write(self, content: bytes | memoryview) -> None:
        """Replace the saved state, at once."""
        if self.lock is not None:
            with files.atomic_write(self.path) as temporary:
                temporary.write_bytes(content)
        self.last = time.monotonic()

    def clear(self) -> None:
        """Forget it: the run's results are written."""
        if self.lock is not None:
            self.path.unlink(missing_ok=True)
            locks.release(self.path.with_suffix(".lock"), self.lock)

    def stale(self) -> list[Path]:
        """What is kept of this run under other params or code: not used here, there for when they come back."""
        found = self.path.parent.glob(f"{Path(self.run).name}-{'?' * 16}{self.suffix}")
        return sorted(path for path in found if path != self.path)
