"""Your own datasets: a folder under the root, no code.

    datasets/my_birds/dataset.yaml      template: a photo of a {}, a type of bird.
    datasets/my_birds/robin/0001.jpg    a folder per class …
    datasets/my_birds/images.csv        … or a table of images: path and label

The 50 : 20 : 30 split is drawn once, per class, and kept beside the images as split.json.
"""

import csv
import re
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from adapt.data import splits
from adapt.data.dataset import Dataset, Item, inside
from adapt.data.entries import Strict, Template
from adapt.data.readers import SUFFIXES, dataset, hidden
from adapt.data.splits import Splits
from adapt.errors import UserError, nearest

FILE = "dataset.yaml"
TABLE = "images.csv"
SPLIT = "split.json"
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")  # what DVC takes as part of a stage's name
SEED = 0
LEAST = 3  # images of a class: one for each split


class Description(Strict):
    """dataset.yaml: the template, and the class names where folders or labels should not serve as such."""

    template: Template
    classes: dict[str | int, str] | list[str] = Field(default_factory=dict)

    def names(self) -> dict[str, str]:
        """Class name by folder or label."""
        pairs = enumerate(self.classes) if isinstance(self.classes, list) else self.classes.items()
        return {str(label): name for label, name in pairs}


def names(root: Path) -> list[str]:
    """The datasets under a root."""
    return sorted(path.parent.name for path in root.glob(f"*/{FILE}") if NAME.fullmatch(path.parent.name))


def load(name: str, root: Path) -> Dataset:
    """A dataset of `names(root)`. Draws and writes its split where there is none yet.

    Raises: UserError for what is wrong in its files.
    """
    home = root / name
    described, path = describe(home), home / SPLIT
    if not path.is_file():
        splits.write(draw(find(home), home), path)
    found = splits.parse(path.read_bytes(), path)
    labels = splits.class_names(found, path)
    return dataset(name, described.template, called(labels, described, home), found, home, labels=tuple(labels))


def files(dataset: Dataset, home: Path) -> list[tuple[str, Path]]:
    """All files that decide numbers: the description, the table, the split, and the images that it names."""
    images = {item.path for part in (dataset.train, dataset.val, dataset.test) for item in part}
    return [(name, home / name) for name in (FILE, TABLE, SPLIT, *sorted(images))]


def describe(home: Path) -> Description:
    """The content of dataset.yaml."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = home / FILE
    try:
        return Description(**YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"][:1]))
        if problem["type"] == "extra_forbidden":
            raise UserError(f"{path}: {key}: unknown key; {nearest(key, Description.model_fields)}") from None
        expected = "a text with one {} for the class name" if key == "template" else problem["msg"]
        raise UserError(f"{path}: {key}: {expected}; got {problem['input']!r}") from None
    except (YAMLError, UnicodeDecodeError, TypeError) as error:
        raise UserError(f"{path} is not a YAML mapping with a template: {' '.join(str(error).split())}") from None


def called(labels: list[str], described: Description, home: Path) -> list[str]:
    """The class names of labels: as dataset.yaml says, else the label (a folder's name) itself."""
    given = described.names()
    for label in given:
        if label not in labels:
            raise UserError(f"{home / FILE}: classes: there is no class {label!r}; {nearest(label, labels)}")
    nameless = next((label for label in labels if label.isdecimal() and label not in given), None)
    if nameless is not None:
        raise UserError(f"{home / FILE}: classes: class {nameless} needs a name, since a number says nothing to CLIP")
    return [given.get(label, label) for label in labels]


def find(home: Path) -> list[tuple[str, str]]:
    """Path and label of every image: of images.csv where there is one, else of the folders, sorted."""
    if (home / TABLE).is_file():
        return from_table(home)
    folders = sorted(f for f in home.iterdir() if f.is_dir() and not hidden(f.name))
    return [
        (path.relative_to(home).as_posix(), folder.name)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not hidden(path.name)
    ]


def from_table(home: Path) -> list[tuple[str, str]]:
    """The rows of images.csv: columns path and label, the label a number or the class's name."""
    source = home / TABLE
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows, columns = list(reader), reader.fieldnames or []
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{source} is not a readable CSV file: {error}") from None
    if not {"path", "label"} <= set(columns):
        raise UserError(f"{source}: the columns are path and label, got {', '.join(columns) or 'none'}")
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        path = inside(row["path"] or "", source)
        if path in seen:
            raise UserError(f"{source}, line {line}: {path} stands twice; an image has one label")
        if not row["label"]:
            raise UserError(f"{source}, line {line}: {path} has no label")
        if not (home / path).is_file():
            raise UserError(f"{source}, line {line}: there is no image {home / path}")
        seen.add(path)
    return [(row["path"], row["label"]) for row in rows]


def draw(found: list[tuple[str, str]], home: Path) -> Splits:
    """CoOp's protocol for datasets without a split: each class's images shuffled and cut 50 : 20 : 30."""
    by_label: dict[str, list[str]] = {}
    for path, label in found:
        by_label.setdefault(label, []).append(path)
    if len(by_label) < 2:
        raise UserError(f"{home} has {len(by_label)} classes of images; a dataset has two or more")
    for label, paths in by_label.items():
        if len(paths) < LEAST:
            raise UserError(f"{home}: class {label!r} has {len(paths)} images, fewer than {LEAST}, one for each split")
    numbers = all(label.isdecimal() for label in by_label)
    order = sorted(by_label, key=int if numbers else str)
    rng = np.random.default_rng(SEED)
    parts = Splits([], [], [])
    for number, label in enumerate(order):
        for part, paths in zip(parts, splits.split(sorted(by_label[label]), rng), strict=True):
            part.extend(Item(path, number, label) for path in paths)
    return parts
