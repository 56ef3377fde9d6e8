"""What every dataset looks like to the rest of the library, whether it comes from a folder or from a package."""

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

LONGEST = 50  # times the shorter edge
MOST = 2**32 - 1  # of shots and seeds: what every generator takes


class Split(tuple[Sample, ...]):
    """The labelled images of a split, as a tuple of `Sample`; a slice of it is a split too.

    dataset: whose images these are; a `Dataset` makes its splits know it.
    """

    dataset: "Dataset"

    def of(self, dataset: "Dataset") -> "Split":
        """The same samples as a dataset's."""
        made = Split(self)
        made.dataset = dataset
        return made

    @overload
    def __getitem__(self, index: SupportsIndex) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Split": ...
    def __getitem__(self, index: Any) -> Any:
        """A sample by its number, or a part of the split."""
        found = super().__getitem__(index)
        return Split(found).of(self.dataset) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return f"<{len(self)} images of {self.dataset.name}>"

    @property
    def labels(self) -> list[int]:
        """The label of each image, in 0..c-1."""
        return [item.label for item in self]

    def image(self, index: int) -> Image.Image:
        """An image in RGB; raises UserError as `Dataset.image`."""
        return self.dataset.image(self[index].path)


@dataclass(frozen=True, repr=False)
class Dataset:
    """A classification dataset with fixed splits.

    `classes[label]` is the class's name as it goes into `template`; `read(path)` gives the image of an item.
    labels: what the dataset's own folders, table or split call the classes, where that differs from `classes`
    twins: names that several classes are known to have
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
        """The few-shot subset of a seed: `shots` images a class to train, min(shots, 4) to validate, all of test.

        By CoOp's protocol (adapt/data/sampling.py): the same seed gives the same images as its published index files.

        Raises: UserError for a number of shots below 1 and a seed below 0.
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


def whole(name: str, value: Any, least: int) -> int:
    """A whole number, numpy's too, from `least` to MOST; raises UserError for anything else."""
    try:
        if isinstance(value, bool) or not least <= operator.index(value) <= MOST:
            raise TypeError
    except TypeError:
        raise UserError(f"few_shot: {name}: expected a whole number from {least} to {MOST}, got {value!r}") from None
    return operator.index(value)


@dataclass(frozen=True, repr=False)
class FewShotDataset(Dataset):
    """A dataset whose train and val splits are what one seed has drawn; see `Dataset.few_shot`.

    incomplete_classes: the classes that have fewer than `shots` training images (name, how many)
    reused_classes: the classes whose val images are training images of theirs, since there are no others
    val_from_train: whether the dataset has no val split, so that val is drawn from the rest of its training images
    """

    shots: int = 0
    seed: int = 0
    incomplete_classes: tuple[tuple[str, int], ...] = ()
    reused_classes: tuple[str, ...] = ()
    val_from_train: bool = False

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; {self.shots} shots, seed {self.seed}>"

    def remarks(self) -> list[str]:
        """What is not as one would expect of the subset, a sentence each."""
        found = []
        if self.val_from_train:
            found.append("has no val split: val images are drawn from the training images that are not among the shots")
        validated = {item.label for item in self.val}
        if lacking := [repr(name) for label, name in enumerate(self.classes) if label not in validated]:
            found.append(f"no val images of {some(lacking)}: what is chosen on val is chosen without them")
        if self.reused_classes:
            found.append(
                f"no training images but the shots in {some([repr(name) for name in self.reused_classes])}: the shots "
                "are the val images too, so that whatever is chosen on them is chosen on training images"
            )
        for name, images in self.incomplete_classes:
            found.append(f"class {name!r} has {images} training images, fewer than shots={self.shots}: all are taken")
        return found


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
    """The image of a path below a folder, not decoded yet."""
    return open_image(home / safe_relative_path(path, home))


def open_image(path: Path) -> Image.Image:
    """The image in a file, not decoded yet; Pillow refuses more than 179 million pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # raised from half as many on
        return Image.open(path)


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
