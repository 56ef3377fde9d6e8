"""The only exception that the user sees as a sentence instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """An error message in one or two sentences: what is wrong, where, what to do."""


def nearest(word: object, known: Iterable[str]) -> str:
    """Return the hint of an "unknown name" message: the nearest name, or all names."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
