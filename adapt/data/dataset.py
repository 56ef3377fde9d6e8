"""What every dataset looks like to the rest of the library, whether it comes from a folder or from a package."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapt.errors import UserError

LONGEST = 50  # times the shorter edge


class Sample(NamedTuple):
    """One labelled image: a name that `Dataset.read` understands, its label in 0..c-1, and the class's name."""

    path: str
    label: int
    name: str


@dataclass(frozen=True)
class Dataset:
    """A classification dataset with fixed splits.

    `classes[label]` is the class's name as it goes into `template`; `read(path)` gives the image of an item.
    labels: what the dataset's own folders, table or split call the classes, where that differs from `classes`
    twins: names that several classes are known to have
    """

    name: str
    template: str
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    read: Callable[[str], Image.Image]
    labels: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()

    @property
    def own_labels(self) -> tuple[str, ...]:
        """What the dataset itself calls each class, for messages to whom it belongs."""
        return self.labels or self.classes

    def image(self, path: str) -> Image.Image:
        """The RGB image of an item.

        Raises: UserError that names the image, if it is missing or broken.
        """
        try:
            with self.read(path) as image:
                return to_rgb(image)
        except UserError:
            raise
        except Exception as error:  # what Pillow raises on a broken file is not OSError alone
            raise UserError(
                f"image {path} of dataset {self.name} cannot be read ({error}); replace it or take it out of the split"
            ) from None


def safe_relative_path(path: str, source: Path) -> str:
    """A path as it is, if it names something below the folder that it starts at.

    Links on disk are followed: who owns the folder may keep images elsewhere, who wrote the list may not reach out.

    Raises: UserError that names `source`, the file that the path stands in.
    """
    if any(len(part.encode(errors="replace")) > 255 for part in PurePosixPath(path).parts):
        raise UserError(f"{source}: the path {path[:60]!r}… has a part that is longer than any file's name; correct it")
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{source}: the path {path!r} leads out of the dataset's folder; correct or remove it")
    return path


def open_inside(home: Path, path: str) -> Image.Image:
    """The image of a path below a folder, not decoded yet; Pillow refuses more than 179 million pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # raised from half as many on
        return Image.open(home / safe_relative_path(path, home))


def center_crop(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The pixels [3, size, size] that evaluation sees: CLIP's bicubic resize of the shorter edge and centre crop.

    The same as torchvision's, without importing it. Of an image longer than LONGEST times its width only the middle is
    resized: the whole would take gigabytes.
    """
    width, height = image.size
    short = min(width, height)
    if max(width, height) > LONGEST * short:
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box)).transpose(2, 0, 1)
    width, height = int(size * width / short), int(size * height / short)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """An image as 8-bit RGB.

    Eight bits and fewer as CoOp and torchvision read them: transparency dropped, the camera's orientation not applied.
    Pillow would cut 16-bit grey off at 255, so that is scaled to 8 bits first.

    Raises: ValueError for values that have no known range.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, whose values have no known range")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours without Pillow's warning
    return image.convert("RGB")
