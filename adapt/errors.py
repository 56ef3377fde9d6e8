"""The one exception that is shown to the user as a sentence instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What is wrong, where it was set and what to do, in one or two sentences."""


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of an error message on an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
