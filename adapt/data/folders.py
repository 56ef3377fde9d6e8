"""What lies in a folder of pictures: a folder per class or, above these, a folder per split.

Every folder is a class or is refused by name. A file is taken if Pillow can open it, whatever its name ends in. Links
are followed.
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

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")  # not opened
LEFT_BEHIND = ("__MACOSX", "@eaDir", "__pycache__")  # by programs, in folders of others
SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
ENDING = re.compile("(set|data|split|images|imgs)$")  # as in trainingset
NOT_DECODED = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF")  # formats that Pillow knows and cannot show itself
NAMED = 5  # files that a message names


class Image(NamedTuple):
    """An image's path from the dataset's folder on, its label and, where folders say so, its split."""

    path: str
    label: str
    split: str | None = None


def hidden(name: str) -> bool:
    """Whether a file or folder is not meant to be seen, such as the ._name that macOS leaves in archives."""
    return name.startswith(".") or name in LEFT_BEHIND


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All that is no folder below a folder, in order, but for what is hidden; a link that leads back up ends there."""
    above = (*above, os.path.realpath(folder))  # unlike Path.resolve, it bears links that lead to each other
    for path in sorted(folder.iterdir()):
        if hidden(path.name) or os.path.realpath(path) in above:
            continue
        if path.is_dir():
            yield from walk(path, above)
        else:
            yield path


def is_image(path: Path) -> bool:
    """Whether a file is taken for an image: by the usual endings unopened, else if Pillow knows it for one.

    Whether the whole of it can be read is seen when it is read: one that is broken or too large is refused by name.
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
    except Exception:  # of whatever a file that is no image makes of Pillow
        return False


def find(home: Path) -> list[Image]:
    """All images in the class folders below a folder.

    Raises: UserError for a folder that is neither a class nor a split.
    """
    below = [path for path in visible(home) if path.is_dir()]
    return [image for folder, split in parts(home, below) for image in of_class(home, folder, split)]


def parts(home: Path, folders: list[Path]) -> Iterator[tuple[Path, str | None]]:
    """The class folders, each with its split where the folders above them are train, val and test."""
    named = {split: folder for folder in folders if (split := split_of(folder.name))}
    if not are_splits(list(named.values())):  # a class may be called "train"
        yield from ((folder, None) for folder in folders)
        return
    if len(named) < len(folders) or not {"train", "test"} <= set(named):
        raise UserError(
            f"{home}: the folders {', '.join(folder.name for folder in folders)} are taken for splits, and these are "
            "train, val (may be left out) and test, each once and with nothing beside them; rename or move the others"
        )
    for split, folder in named.items():
        inside = visible(folder)
        if loose := next((path for path in inside if path.is_file() and is_image(path)), None):
            raise UserError(
                f"{home}: {folder.name} is taken for a split, in which every class has a folder, but {loose.name} lies "
                "in none; move it, or write images.csv"
            )
        yield from ((path, split) for path in inside if path.is_dir())


def are_splits(named: list[Path]) -> bool:
    """Whether folders called after different splits are meant as such.

    They are where two are called that and no more (`test_set`). Where the word is one of several, as in `seg_train`,
    they are if none holds images itself: `freight train` and `crash test` may be classes.
    """
    plain = [folder for folder in named if word_of(folder.name) in chain(*SPELLINGS.values())]
    bare = [folder for folder in named if not any(path.is_file() and is_image(path) for path in visible(folder))]
    return len(named) > 1 and (len(plain) > 1 or len(bare) == len(named))


def visible(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, in order."""
    return [path for path in sorted(folder.iterdir()) if not hidden(path.name)]


def word_of(name: str) -> str:
    """A folder's name as one word without what it says of itself."""
    return ENDING.sub("", re.sub("[^a-z]", "", name.lower()))


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for, alone or as one word of several."""
    words = {word_of(name), *map(word_of, re.findall("[a-z]+", name.lower()))}
    return next((split for split, spellings in SPELLINGS.items() if words & set(spellings)), None)


def of_class(home: Path, folder: Path, split: str | None) -> list[Image]:
    """The images in a class's folder.

    Raises: UserError where there are none.
    """
    within = sorted({split for path in visible(folder) if path.is_dir() and (split := split_of(path.name))})
    if len(within) > 1:
        raise UserError(
            f"{home}: the class folder {folder.relative_to(home)} holds folders of splits, {' and '.join(within)}; "
            "put the splits above the classes, as in train/robin, or write split.json"
        )
    files = [path for path in walk(folder, above=(os.path.realpath(home),)) if is_image(path)]
    if strange := next((path for path in files if not is_utf8(str(path.relative_to(home)))), None):
        raise UserError(f"{home}: the name {str(strange.relative_to(home))!r} is not of UTF-8 characters; rename it")
    if not files:
        raise UserError(
            f"{home}: the folder {folder.relative_to(home)} holds no image that Pillow can open, and every folder is a "
            "class; fill it, remove it, or begin its name with a dot"
        )
    return [Image(path.relative_to(home).as_posix(), folder.name, split) for path in files]


def is_utf8(name: str) -> bool:
    """Whether a file's name can be written down: those of other encodings, out of old archives, cannot."""
    return name.encode(errors="replace").decode() == name


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
