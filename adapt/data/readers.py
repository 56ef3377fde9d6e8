"""Readers of downloaded datasets: from catalogue entry and files to a `Dataset`.

torchvision's dataset classes read the same folders but have other splits: the official ones, where CoOp drew its own.
They do not cover UCF101's frames, the split files or ImageNet's shifts, and importing them takes seconds that the stage
`sample` does not have. torchvision only unpacks ImageNet's archives (adapt/download/imagenet.py).
"""

import os
from functools import cache, partial
from pathlib import Path

from adapt.data import splits
from adapt.data.dataset import Dataset, Sample, Split, open_inside
from adapt.data.folders import SUFFIXES, hidden
from adapt.data.specs import DatasetSpec, FolderSplit, JsonSplit, ListSplit
from adapt.data.splits import Splits
from adapt.errors import UserError

WNIDS = Path(__file__).with_name("imagenet.txt")


def read(name: str, entry: DatasetSpec, root: Path) -> Dataset:
    """Read a dataset of the catalogue from its files under `root`.

    The paths of its samples are relative to its image folder.

    Raises: UserError that says what is missing or wrong, and how to get it.
    """
    home = entry.image_dir(root)
    if home is None:
        raise UserError(
            f"dataset {name}: its images are not in {root / entry.images[0]} (no {entry.required_files[0]} there); "
            f"{get(name)}, or set data.root (or ADAPT_DATA) to the folder of your datasets"
        )
    match entry.split:
        case JsonSplit() as split:
            path = root / split.file
            found = splits.parse(splits.check(path, split.sha256, get(name)), path)
            names = splits.class_names(found, path)
        case ListSplit() as split:
            found, names = from_lists(name, split, home)
        case FolderSplit() as split:
            found, names = from_folders(split, home, entry.classes)
    if len(names) != entry.classes:
        raise UserError(f"dataset {name}: {len(names)} classes in {home}, expected {entry.classes}; {get(name)}")
    return dataset(name, entry.template, names, found, home, labels=tuple(names), twins=tuple(entry.twins))


def files(entry: DatasetSpec, root: Path) -> list[tuple[str, Path]]:
    """Return the files that hold a dataset's split, whether they exist or not.

    ImageNet has none: its folders are its split.
    """
    match entry.split:
        case JsonSplit() as split:
            return [(split.file, root / split.file)]
        case ListSplit() as split:
            home = entry.image_dir(root) or root / entry.images[0]
            return [(file, home / file) for file in split.sha256]
        case FolderSplit():
            return []


def get(name: str) -> str:
    """Return the end of a message: how to get a dataset."""
    return f"get it with `python -m adapt data fetch {name}`"


def dataset(name: str, template: str, names: list[str], found: Splits, home: Path, **more: tuple[str, ...]) -> Dataset:
    """Make a `Dataset` of files below `home`.

    Underscores of class names become spaces, as in CoOp.
    """
    classes = tuple(name.replace("_", " ") for name in names)
    parts = (Split(Sample(item.path, item.label, classes[item.label]) for item in part) for part in found)
    return Dataset(name, template, classes, *parts, read=partial(open_inside, home), **more)


def from_lists(name: str, split: ListSplit, home: Path) -> tuple[Splits, list[str]]:
    """Read FGVC's official lists.

    A class's label is its line in variants.txt; a line of the other lists is "image number, class name".
    """
    texts = {file: splits.check(home / file, sha256, get(name)).decode() for file, sha256 in split.sha256.items()}
    names = texts["variants.txt"].splitlines()
    labels = {name: label for label, name in enumerate(names)}

    def items(part: str) -> list[Sample]:
        pairs = (line.split(" ", 1) for line in texts[f"images_variant_{part}.txt"].splitlines())
        return [Sample(f"images/{number}.jpg", labels[variant], variant) for number, variant in pairs]

    return Splits(*map(items, Splits._fields)), names


@cache
def imagenet_names() -> dict[str, str]:
    """Return the class name of each of ImageNet's 1000 wnids, in order."""
    lines = WNIDS.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def from_folders(split: FolderSplit, home: Path, amount: int) -> tuple[Splits, list[str]]:
    """Read the class folders of ImageNet or of one of its shifts.

    A class's label is the rank of its folder's name (ImageNetV2: the number that is the name).

    Differs from CoOp: images are sorted. CoOp takes ImageNet's in the order of os.listdir, so its few-shot subsets of
    ImageNet differ between machines. Ours do not, and they cannot match CoOp's.
    """
    known = imagenet_names()
    if split.named == "number":
        known = {str(number): name for number, name in enumerate(known.values())}
    order = list(known)

    def folders(part: str) -> list[str]:
        found = [entry.name for entry in (home / part).iterdir() if entry.is_dir() and not hidden(entry.name)]
        strange = sorted(set(found) - set(known))
        if strange or len(found) != amount:
            which = f", among them {strange[0]!r}" if strange else ""
            raise UserError(
                f"{home / part} has {len(found)} class folders{which}, expected {amount} of ImageNet's: unpack "
                "the whole archive again"
            )
        return sorted(found, key=order.index)

    def items(part: str | None) -> list[Sample]:
        return [
            Sample(f"{part}/{folder}/{image}".removeprefix("./"), label, known[folder])
            for label, folder in enumerate(folders(part) if part else [])
            for image in images(home / str(part) / folder)
        ]

    return Splits(items(split.train), [], items(split.test)), [known[folder] for folder in folders(split.test)]


def images(folder: Path) -> list[str]:
    """Return the sorted names of the images in a class's folder.

    Raises: UserError if there are none.
    """
    with os.scandir(folder) as entries:  # ImageNet has 1.3 million images: a Path for each would be slow
        found = sorted(f.name for f in entries if f.name.lower().endswith(SUFFIXES) and not hidden(f.name))
    if not found:
        raise UserError(f"{folder} holds no images: unpack the whole archive again")
    return found
