"""Progress bars."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Bar:
    """A progress bar to put around what is iterated, and on its line what is told on the way.

    Side by side, each process takes a line: its `position`.
    """

    def __init__(self, title: str, position: int, unit: str):
        self.options = {"desc": title, "unit": unit, "position": position, "leave": False}
        self.shown: tqdm[Any] | None = None
        self.told = ""

    def __call__(self, items: Iterable[T], **options: Any) -> Iterable[T]:
        """Show how far the iteration is."""
        interval = 0.5 if sys.stderr.isatty() else 10  # a log file takes a line now and then
        self.shown = tqdm(items, **{"mininterval": interval, **self.options, **options})
        self.tell(self.told)
        return self.shown

    def tell(self, words: str) -> None:
        """Say something at the end of the line, from when it is next drawn."""
        self.told = words
        if self.shown is not None:
            self.shown.set_postfix_str(words, refresh=False)
