"""Splits: CoOp's 50 : 20 : 30, and the JSON files that store a split.

A file is what CoOp calls split_zhou: {"train": [[path, label, class name], …], "val": …, "test": …}. It may come from
anywhere, so its types, labels and paths are checked before an image is opened.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from adapt.data.dataset import Sample, safe_relative_path
from adapt.errors import UserError
from adapt.runtime import files

T = TypeVar("T")

SHARES = (0.5, 0.2, 0.3)  # of each class for train, val and test

Rows = list[tuple[str, int, str]]


class Splits(NamedTuple):
    """The samples of the three splits."""

    train: list[Sample]
    val: list[Sample]
    test: list[Sample]


def split(things: Sequence[T], rng: np.random.Generator) -> tuple[list[T], list[T], list[T]]:
    """Shuffle `things` and cut them into train, val and test by `SHARES`.

    Each split gets at least one of them.
    """
    order = [things[i] for i in rng.permutation(len(things))]
    train, val = (max(1, round(share * len(order))) for share in SHARES[:2])
    train = min(train, len(order) - val - 1)
    return order[:train], order[train : train + val], order[train + val :]


def check(path: Path, sha256: str, get: str) -> bytes:
    """Return the content of a file with a known checksum.

    Raises: UserError that says how to `get` the file, if it is missing or has another checksum.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {get}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path} is not the published file: its SHA-256 is {found[:12]}…, not {sha256[:12]}…; delete it, then {get}"
        )
    return content


def parse(content: bytes, source: Path) -> Splits:
    """Parse a JSON split.

    The samples keep the file's order, on which few-shot sampling depends.

    Raises: UserError for a wrong structure, a path that leads out of the folder, or labels that contradict the class
    names.
    """
    try:
        found = TypeAdapter(dict[str, Rows], config={"strict": True}).validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        raise UserError(f"{source}: not a split in CoOp's format: {place or 'the file'}: {first['msg']}") from None
    missing = [name for name in Splits._fields if name not in found]
    if missing:
        raise UserError(f"{source}: not a split in CoOp's format: it has no {missing[0]!r}")
    splits = Splits(*([Sample(*row) for row in found[name]] for name in Splits._fields))
    class_names(splits, source)
    for part in splits:
        for item in part:
            safe_relative_path(item.path, source)
    return splits


def class_names(splits: Splits, source: Path) -> list[str]:
    """Return the class name of each label 0..c-1.

    Raises: UserError if a label has two names or the labels have gaps.
    """
    names: dict[int, str] = {}
    for item in (item for part in splits for item in part):
        if names.setdefault(item.label, item.name) != item.name:
            raise UserError(f"{source}: label {item.label} is both {names[item.label]!r} and {item.name!r}")
    beyond = sorted(set(names) - set(range(len(names))))
    if beyond:
        raise UserError(f"{source}: the labels of {len(names)} classes are 0 … {len(names) - 1}, got {beyond[0]}")
    return [names[label] for label in range(len(names))]


def write(splits: Splits, path: Path) -> None:
    """Write a split to a file."""
    with files.atomic_write(path) as temporary:
        temporary.write_text(json.dumps(splits._asdict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
