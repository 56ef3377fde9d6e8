"""Progress bars."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(title: str, position: int, unit: str) -> Callable[[Iterable[T]], Iterable[T]]:
    """A progress bar to put around what is iterated; side by side, each process takes a line."""
    interval = 0.5 if sys.stderr.isatty() else 10  # a log file takes a line now and then
    return partial(tqdm, desc=title, unit=unit, position=position, mininterval=interval, leave=False)
