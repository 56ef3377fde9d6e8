"""Progress bars."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Bar:
    """A progress bar around an iterable, with a message at the end of its line.

    With several processes side by side, each has a line of its own: its `position`.
    """

    def __init__(self, title: str, position: int, unit: str):
        self.options = {"desc": title, "unit": unit, "position": position, "leave": False}
        self.shown: tqdm[Any] | None = None
        self.told = ""

    def __call__(self, items: Iterable[T], **options: Any) -> Iterable[T]:
        """Iterate over the items, showing the progress."""
        interval = 0.5 if sys.stderr.isatty() else 10  # seconds; seldom in a log file
        self.shown = tqdm(items, **{"mininterval": interval, **self.options, **options})
        self.tell(self.told)
        return self.shown

    def tell(self, words: str) -> None:
        """Set the message at the end of the line.

        It appears when the line is next drawn.
        """
        self.told = words
        if self.shown is not None:
            self.shown.set_postfix_str(words, refresh=False)
