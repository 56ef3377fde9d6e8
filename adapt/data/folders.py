"""Images in a folder: a folder per class, optionally inside a folder per split.

Every folder is a class; one that cannot be is refused by name. A file is an image if Pillow can open it, whatever its
suffix. Links are followed.
"""

import os
import re
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from adapt.errors import UserError

# a file that ends in one of these is taken for an image without being opened
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LEFT_BEHIND = ("__MACOSX", "@eaDir", "__pycache__")  # folders that programs create
SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
ENDING = re.compile("(set|data|split|images|imgs)$")  # as in trainingset
NOT_DECODED = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF")  # formats that Pillow recognises but cannot decode
NAMED = 5  # files that a message names


class Image(NamedTuple):
    """An image: its path inside the dataset's folder, its label and its split.

    The split is None if it is not given.
    """

    path: str
    label: str
    split: str | None = None


def hidden(name: str) -> bool:
    """Return whether a file or folder is to be ignored.

    An example is ._name, which macOS leaves in archives.
    """
    return name.startswith(".") or name in LEFT_BEHIND


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield all files below a folder, in order, except hidden ones.

    A link that leads back up is not followed.
    """
    above = (*above, os.path.realpath(folder))  # unlike Path.resolve, it accepts links that lead to each other
    for path in sorted(folder.iterdir()):
        if hidden(path.name) or os.path.realpath(path) in above:
            continue
        if path.is_dir():
            yield from walk(path, above)
        else:
            yield path


def is_image(path: Path) -> bool:
    """Return whether a file counts as an image.

    A file with a usual suffix counts without being opened, any other if Pillow recognises it. Whether it can be decoded
    shows only when it is read: a broken or too large image is then refused by name.
    """
    if not path.is_file() or path.suffix.lower() in SUFFIXES:
        return path.is_file()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path) as image:
                return image.format not in NOT_DECODED
    except PIL.Image.DecompressionBombError:
        return True
    except Exception:  # Pillow may raise anything on a file that is not an image
        return False


def find(home: Path) -> list[Image]:
    """Find all images in the class folders below a folder.

    Raises: UserError for a folder that is neither a class nor a split.
    """
    below = [path for path in visible(home) if path.is_dir()]
    return [image for folder, split in parts(home, below) for image in of_class(home, folder, split)]


def parts(home: Path, folders: list[Path]) -> Iterator[tuple[Path, str | None]]:
    """Yield the class folders, each with its split.

    The split is None unless the class folders lie in folders called train, val and test.
    """
    named = {split: folder for folder in folders if (split := split_of(folder.name))}
    if not are_splits(list(named.values())):  # a class may be called "train"
        yield from ((folder, None) for folder in folders)
        return
    if len(named) < len(folders) or not {"train", "test"} <= set(named):
        raise UserError(
            f"{home}: the folders {', '.join(folder.name for folder in folders)} are taken for splits, but splits "
            "are train, val (optional) and test, each once, with no other folder beside them; rename or move the others"
        )
    for split, folder in named.items():
        inside = visible(folder)
        if loose := next((path for path in inside if path.is_file() and is_image(path)), None):
            raise UserError(
                f"{home}: {folder.name} is taken for a split, in which every class has a folder, but {loose.name} is "
                "in no class folder; move it, or write images.csv"
            )
        yield from ((path, split) for path in inside if path.is_dir())


def are_splits(named: list[Path]) -> bool:
    """Return whether folders named after different splits are meant as splits.

    They are if at least two have the word as their whole name (`test_set`). Where it is one word of several, as in
    `seg_train`, they are if none of them holds images itself: `freight train` and `crash test` may be classes.
    """
    plain = [folder for folder in named if word_of(folder.name) in chain(*SPELLINGS.values())]
    bare = [folder for folder in named if not any(path.is_file() and is_image(path) for path in visible(folder))]
    return len(named) > 1 and (len(plain) > 1 or len(bare) == len(named))


def visible(folder: Path) -> list[Path]:
    """Return what lies in a folder, in order, except what is hidden."""
    return [path for path in sorted(folder.iterdir()) if not hidden(path.name)]


def word_of(name: str) -> str:
    """Return a folder's name as one word, without an ending such as `set`."""
    return ENDING.sub("", re.sub("[^a-z]", "", name.lower()))


def split_of(name: str) -> str | None:
    """Return the split that a folder's name means.

    The split may be the whole name or one word of it.
    """
    words = {word_of(name), *map(word_of, re.findall("[a-z]+", name.lower()))}
    return next((split for split, spellings in SPELLINGS.items() if words & set(spellings)), None)


def of_class(home: Path, folder: Path, split: str | None) -> list[Image]:
    """Return the images in a class's folder.

    Raises: UserError if there are none.
    """
    within = sorted({split for path in visible(folder) if path.is_dir() and (split := split_of(path.name))})
    if len(within) > 1:
        raise UserError(
            f"{home}: the class folder {folder.relative_to(home)} holds folders of splits, {' and '.join(within)}; "
            "put the splits above the classes, as in train/robin, or write split.json"
        )
    files = [path for path in walk(folder, above=(os.path.realpath(home),)) if is_image(path)]
    if strange := next((path for path in files if not is_utf8(str(path.relative_to(home)))), None):
        raise UserError(f"{home}: the name {str(strange.relative_to(home))!r} is not valid UTF-8; rename it")
    if not files:
        raise UserError(
            f"{home}: the folder {folder.relative_to(home)} holds no image that Pillow can open, and every folder is a "
            "class; fill it, remove it, or begin its name with a dot"
        )
    return [Image(path.relative_to(home).as_posix(), folder.name, split) for path in files]


def is_utf8(name: str) -> bool:
    """Return whether a file's name can be written as UTF-8.

    Names in other encodings, from old archives, cannot.
    """
    return name.encode(errors="replace").decode() == name


def some(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
