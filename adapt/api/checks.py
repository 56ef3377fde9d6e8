"""Checks of arguments that the functions of the library share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any

from adapt.errors import UserError


def expect(value: Any, kind: type | UnionType, where: str, wanted: str) -> None:
    """Raise UserError for a value of another type.

    Args:
        value: the value.
        kind: the types that are allowed.
        where: the argument, as the message names it.
        wanted: the expected value, as the message describes it.
    """
    if not isinstance(value, kind):
        raise UserError(f"{where}: expected {wanted}, got {describe(value)}")


def count(value: Any, where: str) -> None:
    """Raise UserError for anything but a whole number from 1 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: expected a whole number from 1 on, got {describe(value)}")


def free(path: Path, where: str, kind: str, holds: bool, replace: bool, how: str = "pass overwrite=True") -> None:
    """Raise UserError for a path that exists and may not be replaced.

    Args:
        path: where something will be written.
        where: the argument, as the message names it.
        kind: of thing that will be written, in words.
        holds: whether the path already holds such a thing; nothing else is ever replaced.
        replace: whether the caller allows that it be replaced.
        how: how to allow it, as the message puts it.
    """
    if path.exists() and not (holds and replace):
        hint = f"{how} or give another" if holds else f"it holds no {kind}; give another"
        raise UserError(f"{where}: {path} already exists: {hint}")


def describe(value: Any) -> str:
    """Return a value as a message shows it: itself if it is short, else its type."""
    return repr(value) if isinstance(value, str | bytes | int | float | None) else type(value).__name__


@contextmanager
def on_disk(where: str) -> Iterator[None]:
    """Turn errors of the operating system into UserError.

    Such as a full disk, a missing permission or a name that is too long.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{where}: {error.filename or 'the disk'}: {error.strerror or error}") from None
    except ValueError as error:
        if "embedded null" not in str(error):  # in a path
            raise
        raise UserError(f"{where}: {error}") from None
