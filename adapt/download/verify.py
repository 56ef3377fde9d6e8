"""Verify a dataset: count its images per split and open every image."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from adapt.data import catalog, custom
from adapt.data.dataset import Dataset, Sample
from adapt.data.folders import some
from adapt.data.specs import dataset_specs
from adapt.data.splits import Splits
from adapt.download.http import Bar
from adapt.errors import UserError

DARK = 2**13  # of 2**16: 16-bit images below this are nearly black
AT_ONCE = 4096  # images submitted to the threads at once, since each result waits in memory


class Verified(NamedTuple):
    """The result of verifying a dataset.

    Attributes:
        splits: readable and expected images per split
        classes: readable images per split of each class
        problems: sentences on errors
        remarks: sentences on other oddities
    """

    name: str
    splits: dict[str, tuple[int, int]]
    classes: list[tuple[str, tuple[int, int, int]]]
    problems: list[str]
    remarks: list[str]


def verify(name: str, root: Path, bar: Bar) -> Verified:
    """Read all images of a dataset.

    Raises: UserError if there is nothing to read.
    """
    dataset = catalog.load(name, root)
    if name in dataset_specs():
        expected = dataset_specs()[name].sizes.model_dump()
    else:
        expected = {part: len(getattr(dataset, part)) for part in Splits._fields}
    found = inspect(dataset, expected, bar)
    if name in custom.names(root):
        rest = custom.unused(dataset, root / name)
        found.problems.extend([*same_words(dataset), *custom.left_out(rest, dataset, root / name)])
        found.remarks.extend([*custom.passed_over(rest, root / name), *same_pictures(dataset, root / name)])
    found.remarks.extend(dark(dataset))
    return found


def same_pictures(dataset: Dataset, home: Path) -> list[str]:
    """Describe pictures that occur in several splits or classes.

    They are compared by their bytes, so they may have different names.
    """
    places: dict[bytes, list[tuple[str, Sample]]] = defaultdict(list)
    for part in Splits._fields:
        for item in getattr(dataset, part):
            path = home / item.path
            if path.is_file():
                places[hashlib.sha256(path.read_bytes()).digest()].append((part, item))
    several = [found for found in places.values() if len({(part, item.label) for part, item in found}) > 1]
    if not several:
        return []
    first = " and ".join(f"{part} ({item.path})" for part, item in several[0])
    return [
        f"{len(several)} pictures are in more than one split or class, so that accuracy cannot be trusted, the "
        f"first in {first}; remove all but one copy of each"
    ]


def dark(dataset: Dataset) -> list[str]:
    """Describe 16-bit images that will look nearly black.

    They use only a small part of their range.
    """
    found = []
    for item in (item for part in Splits._fields for item in getattr(dataset, part)):
        try:
            with dataset.read(item.path) as image:
                if image.mode.startswith("I;16") and int(np.asarray(image).max()) < DARK:
                    found.append(item.path)
        except Exception:
            continue
    if not found:
        return []
    return [
        f"{len(found)} images of 16 bits use at most an eighth of their range, such as a camera's 12 bits, and look "
        f"nearly black: scale them to the whole range: {some(found)}"
    ]


def same_words(dataset: Dataset) -> list[str]:
    """Describe classes that CLIP cannot tell apart, or whose names are too long.

    CLIP's tokenizer takes a second to import.
    """
    import open_clip

    from adapt.clip.tokenize import tokenize
    from adapt.data.twins import check

    clip: Any = SimpleNamespace(name="CLIP", tokenize=open_clip.tokenize, tokenizer=open_clip.tokenize)
    try:
        check(clip.tokenize, dataset)
        tokenize(clip, dataset.classes, dataset.template.format)
    except UserError as error:
        return [str(error)]
    return []


def inspect(dataset: Dataset, expected: dict[str, int], bar: Bar) -> Verified:
    """Open every image of a dataset, in several threads.

    Decoding does not hold Python's lock.
    """

    def problem(item: Sample) -> str | None:
        try:
            dataset.image(item.path)
        except UserError as error:
            return str(error)
        return None

    parts = {part: getattr(dataset, part) for part in Splits._fields}
    items = [item for part in parts.values() for item in part]

    def problems_of_all() -> Iterator[str | None]:
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(items), AT_ONCE):
                yield from pool.map(problem, items[start : start + AT_ONCE])

    outcomes = list(bar(problems_of_all(), total=len(items)))
    problems = [outcome for outcome in outcomes if outcome]
    whole = {item.path for item, outcome in zip(items, outcomes, strict=True) if not outcome}
    readable = {part: [item for item in items if item.path in whole] for part, items in parts.items()}
    splits = {part: (len(readable[part]), expected[part]) for part in parts}
    for part, amount in expected.items():
        if len(parts[part]) != amount:
            problems.append(f"{part} has {len(parts[part])} images, expected {amount}")
    counts = [Counter(item.label for item in readable[part]) for part in Splits._fields]
    classes = [
        (name, (counts[0][label], counts[1][label], counts[2][label])) for label, name in enumerate(dataset.classes)
    ]
    return Verified(dataset.name, splits, classes, problems, [])
