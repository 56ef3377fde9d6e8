"""Miniature copies of the catalogue's datasets.

They have the true layout and number of classes, and a few tiny images of each.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from adapt.data.dataset import Sample
from adapt.data.readers import imagenet_names
from adapt.data.specs import DatasetSpec, FolderSplit, JsonSplit, ListSplit, Sizes, dataset_specs
from adapt.data.splits import Splits

EACH = Sizes(train=3, val=1, test=2)  # images per class; ImageNet and its shifts have one
SIX = ["train"] * EACH.train + ["val"] * EACH.val + ["test"] * EACH.test

# The path of the n-th image (from 1, over all classes) of class c, as the archives name them.
PATHS: dict[str, Callable[[int, int], str]] = {
    "caltech101": lambda c, n: f"{first(c, 'accordion')}/image_{n - 6 * c:04d}.jpg",
    "oxford_pets": lambda c, n: f"{first(c, 'Abyssinian')}_{n - 6 * c}.jpg",
    "stanford_cars": lambda c, n: f"cars_{'test' if n - 6 * c > 4 else 'train'}/{n if c else (n - 1) % 4 + 1:05d}.jpg",
    "oxford_flowers": lambda c, n: f"image_{n:05d}.jpg",
    "food101": lambda c, n: f"{first(c, 'apple_pie')}/{1000 + n}.jpg",
    "sun397": lambda c, n: f"a/{first(c, 'abbey')}/sun_a{n}.jpg",
    "dtd": lambda c, n: f"{'zigzagged' if c == 46 else first(c, 'banded')}/{n:04d}.jpg",
    "eurosat": lambda c, n: f"{first(c, 'AnnualCrop')}/{first(c, 'AnnualCrop')}_{n}.jpg",
    "ucf101": lambda c, n: f"{first(c, 'Apply_Eye_Makeup')}/v_g01_c{n}.jpg",
}


def first(c: int, name: str) -> str:
    """The true name of the first class, a made-up one of the others."""
    return f"{name[0]}_class_{c}" if c else name


def jpeg(size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "teal").save(buffer, "jpeg")
    return buffer.getvalue()


JPEG = jpeg()


def put(path: Path, content: bytes = JPEG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def birds(root: Path) -> None:
    """Two classes of one's own, four images each, as the dataset `birds` under a root."""
    for name in ("robin", "wren"):
        for number in range(4):
            put(root / "birds" / name / f"{number}.jpg")
    put(root / "birds/dataset.yaml", b"template: a photo of a {}.\n")


def make(name: str, root: Path, layout: int = 0, *, classes: int | None = None, each: int = 1) -> DatasetSpec:
    """Build a dataset under `root` in one of its layouts, and return its entry.

    The entry has the miniature's sizes and checksums. classes: the number of classes to build; each: training images of
    each of ImageNet's classes
    """
    entry = dataset_specs()[name]
    entry = entry.model_copy(update={"classes": classes or entry.classes})
    home = root / entry.images[layout]
    match entry.split:
        case JsonSplit() as split:
            found = rows(name, entry.classes)
            for item in (item for part in found for item in part):
                put(home / item.path)
            if name == "caltech101":
                put(home / "BACKGROUND_Google/image_0001.jpg")
            for held in entry.required_files:  # also where it is of a class left out
                (home / held).exists() or (home / held).mkdir(parents=True)
            content = json.dumps(found._asdict()).encode()
            put(root / split.file, content)
            changed = {"split": split.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})}
        case ListSplit():
            changed = {"split": lists(home, entry.classes)}
        case FolderSplit() as split:
            folders(split, home, entry.classes, entry.required_files[0].rpartition("/")[2], each)
            sizes = Sizes(train=bool(split.train) * each * entry.classes, val=0, test=entry.classes)
            return entry.model_copy(update={"sizes": sizes})
    sizes = Sizes(**{part: count * entry.classes for part, count in EACH.model_dump().items()})
    return entry.model_copy(update={"sizes": sizes, **changed})


def rows(name: str, classes: int) -> Splits:
    """Return a split of six images per class.

    Classes are in descending order, as in some split files.
    """
    found = Splits([], [], [])
    for label in reversed(range(classes)):
        for i, part in enumerate(SIX):
            path = PATHS[name](label, 6 * label + i + 1)
            getattr(found, part).append(Sample(path, label, f"the_class_{label}"))
    return found


def lists(home: Path, classes: int) -> ListSplit:
    """FGVC: variants.txt and a list per split."""
    variants = [f"F/A-{c} mark {c}" for c in range(classes)]
    texts = {"variants.txt": "\n".join(variants) + "\n"}
    numbers = {part: [i for i, other in enumerate(SIX) if other == part] for part in Splits._fields}
    for part, chosen in numbers.items():
        lines = [f"{6 * c + i:07d} {variant}\n" for c, variant in enumerate(variants) for i in chosen]
        texts[f"images_variant_{part}.txt"] = "".join(lines)
    for file, text in texts.items():
        put(home / file, text.encode())
    for number in range(6 * classes):
        put(home / f"images/{number:07d}.jpg")
    return ListSplit(
        kind="lists", sha256={file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}
    )


def folders(split: FolderSplit, home: Path, classes: int, first: str, each: int) -> None:
    """Build ImageNet and its shifts.

    One test image per class, `each` for training, and the other files of the archives.
    """
    known = list(imagenet_names())
    chosen = known[known.index(first) :][:classes] if split.named == "wnid" else [str(c) for c in range(classes)]
    for part in filter(None, (split.train, split.test)):
        for name in chosen:
            for number in range(each if part == split.train else 1):
                put(home / part / name / f"{name}_{number + 1}.JPEG")
        put(home / part / "README.txt", b"read me")
