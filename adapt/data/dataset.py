"""The dataset classes that the library uses, for images from folders or packages."""

import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapt.data.folders import some
from adapt.data.sampling import Sample, sample
from adapt.errors import UserError

LONGEST = 50  # longer edge / shorter edge; of longer images only the middle is resized
MOST = 2**32 - 1  # largest number of shots and largest seed: every random generator accepts it


class Split(tuple[Sample, ...]):
    """The labelled images of a split, as a tuple of `Sample`.

    A slice of a split is a split too.

    Attributes:
        dataset: the dataset that the images belong to; set by `Dataset` on its splits
    """

    dataset: "Dataset"

    def of(self, dataset: "Dataset") -> "Split":
        """Return the same samples as a split of `dataset`."""
        made = Split(self)
        made.dataset = dataset
        return made

    @overload
    def __getitem__(self, index: SupportsIndex) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Split": ...
    def __getitem__(self, index: Any) -> Any:
        """Return the sample at an index, or a slice as a split."""
        found = super().__getitem__(index)
        return Split(found).of(self.dataset) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return f"<{len(self)} images of {self.dataset.name}>"

    @property
    def labels(self) -> list[int]:
        """The label of each image, in 0..c-1."""
        return [item.label for item in self]

    def image(self, index: int) -> Image.Image:
        """Return an image in RGB.

        Raises: UserError, as `Dataset.image`.
        """
        return self.dataset.image(self[index].path)


@dataclass(frozen=True, repr=False)
class Dataset:
    """A classification dataset with fixed splits.

    Attributes:
        classes: `classes[label]` is the class name that is put into `template`
        read: `read(path)` returns the image of a sample
        labels: the class names in the dataset's own folders, table or split, if they differ from `classes`
        twins: names that are known to belong to several classes
    """

    name: str
    template: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    read: Callable[[str], Image.Image]
    labels: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            object.__setattr__(self, part, Split(getattr(self, part)).of(self))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, part))} {part}" for part in ("train", "val", "test"))
        return f"<{self.name}: {len(self.classes)} classes; {sizes} images>"

    def few_shot(self, shots: SupportsIndex, seed: SupportsIndex) -> "FewShotDataset":
        """Return the few-shot subset of a seed.

        It has `shots` training and min(shots, 4) validation images per class, and the whole test split. It follows
        CoOp's protocol (adapt/data/sampling.py): the same seed gives the same images as CoOp's published index files.

        Raises: UserError for fewer than 1 shot or a seed below 0.
        """
        shots, seed = whole("shots", shots, 1), whole("seed", seed, 0)
        drawn = sample(self.train, self.val, shots, seed)
        same = {field.name: getattr(self, field.name) for field in fields(Dataset)}
        return FewShotDataset(
            **{**same, "train": Split(drawn.train), "val": Split(drawn.val)},
            shots=shots,
            seed=seed,
            incomplete_classes=tuple(drawn.incomplete_classes),
            reused_classes=tuple(drawn.reused_classes),
            val_from_train=not self.val,
        )

    @property
    def own_labels(self) -> tuple[str, ...]:
        """The class names in the dataset's own files, for messages to its owner."""
        return self.labels or self.classes

    def image(self, path: str) -> Image.Image:
        """Return the RGB image of a sample.

        Raises: UserError that names the image, if it is missing or broken.
        """
        try:
            with self.read(path) as image:
                return to_rgb(image)
        except UserError:
            raise
        except Exception as error:  # on a broken file Pillow raises other errors than OSError, too
            raise UserError(
                f"image {path} of dataset {self.name} cannot be read ({error}); replace it or take it out of the split"
            ) from None


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number from `least` to MOST; NumPy integers are accepted.

    Raises: UserError for anything else.
    """
    try:
        if isinstance(value, bool) or not least <= operator.index(value) <= MOST:
            raise TypeError
    except TypeError:
        raise UserError(f"few_shot: {name}: expected a whole number from {least} to {MOST}, got {value!r}") from None
    return operator.index(value)


@dataclass(frozen=True, repr=False)
class FewShotDataset(Dataset):
    """A dataset whose train and val splits were drawn for one seed.

    `Dataset.few_shot` makes it.

    Attributes:
        incomplete_classes: the classes with fewer than `shots` training images, as (name, number of images)
        reused_classes: the classes whose val images are also among their training images, since they have no others
        val_from_train: whether val was drawn from the rest of the training images, since the dataset has no val split
    """

    shots: int = 0
    seed: int = 0
    incomplete_classes: tuple[tuple[str, int], ...] = ()
    reused_classes: tuple[str, ...] = ()
    val_from_train: bool = False

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; {self.shots} shots, seed {self.seed}>"

    def remarks(self) -> list[str]:
        """Describe what is unusual about the subset, a sentence each."""
        found = []
        if self.val_from_train:
            found.append("has no val split: val images are drawn from the training images that are not among the shots")
        validated = {item.label for item in self.val}
        if lacking := [repr(name) for label, name in enumerate(self.classes) if label not in validated]:
            found.append(f"no val images of {some(lacking)}: settings chosen on val ignore these classes")
        if self.reused_classes:
            found.append(
                f"no training images besides the shots in {some([repr(name) for name in self.reused_classes])}: the "
                "shots are also the val images, so that settings chosen on val are chosen on training images"
            )
        for name, images in self.incomplete_classes:
            found.append(f"class {name!r} has {images} training images, fewer than shots={self.shots}: all are taken")
        return found


def safe_relative_path(path: str, source: Path) -> str:
    """Return a path unchanged if it stays inside the folder that it is relative to.

    Links on disk are followed: the owner of the folder may keep images elsewhere, but the author of a list may not name
    files outside it.

    Raises: UserError that names `source`, the file that contains the path.
    """
    if any(len(part.encode(errors="replace")) > 255 for part in PurePosixPath(path).parts):
        raise UserError(f"{source}: the path {path[:60]!r}… has a part that is too long for a file name; correct it")
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{source}: the path {path!r} leads out of the dataset's folder; correct or remove it")
    return path


def open_inside(home: Path, path: str) -> Image.Image:
    """Open the image at a path inside a folder, without decoding it."""
    return open_image(home / safe_relative_path(path, home))


def open_image(path: Path) -> Image.Image:
    """Open the image in a file, without decoding it.

    Pillow refuses more than 179 million pixels.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow warns at half of that limit
        return Image.open(path)


def center_crop(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return the pixels [3, size, size] that evaluation uses.

    The shorter edge is resized with CLIP's bicubic filter, then the centre is cropped. The result equals torchvision's,
    without importing it. Of an image whose longer edge is over LONGEST times the shorter, only the middle is resized:
    resizing all of it would take gigabytes.
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
    """Convert an image to 8-bit RGB.

    Images of up to 8 bits are read as by CoOp and torchvision: transparency is dropped, and the camera's orientation is
    not applied. Pillow would clip 16-bit grey at 255, so it is scaled to 8 bits first.

    Raises: ValueError for values without a known range.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, whose values have no known range")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours without Pillow's warning
    return image.convert("RGB")
