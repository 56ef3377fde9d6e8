"""What every function of the library checks of its arguments."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any

from adapt.errors import UserError


def expect(value: Any, kind: type | UnionType, where: str, wanted: str) -> None:
    """Refuse a value of another type; raises UserError: where, what was wanted, what was got."""
    if not isinstance(value, kind):
        raise UserError(f"{where}: expected {wanted}, got {describe(value)}")


def count(value: Any, where: str) -> None:
    """Refuse what is no whole number from 1 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: expected a whole number from 1 on, got {describe(value)}")


def free(path: Path, where: str, kind: str, holds: bool, replace: bool, how: str = "say overwrite=True") -> None:
    """Refuse a path at which something is, unless that is of the kind that is written there and may be replaced.

    kind: of what is written; holds: whether the path holds such a thing; how: what lets it be replaced
    """
    if path.exists() and not (holds and replace):
        hint = f"{how} or give another" if holds else f"it holds no {kind}; give another"
        raise UserError(f"{where}: {path} is there already: {hint}")


def describe(value: Any) -> str:
    """A value as a message shows it: itself where that is short, else its type."""
    return repr(value) if isinstance(value, str | bytes | int | float | None) else type(value).__name__


@contextmanager
def on_disk(where: str) -> Iterator[None]:
    """Turn what the operating system refuses into a UserError: a full disk, no permission, a name that is too long."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{where}: {error.filename or 'the disk'}: {error.strerror or error}") from None
    except ValueError as error:
        if "embedded null" not in str(error):  # in a path
            raise
        raise UserError(f"{where}: {error}") from None
