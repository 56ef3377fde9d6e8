"""Your own datasets: a folder under the root, no code.

    datasets/my_birds/dataset.yaml      template: a photo of a {}, a type of bird.
    datasets/my_birds/robin/0001.jpg    a folder per class …
    datasets/my_birds/images.csv        … or a table of images: path and label

The 50 : 20 : 30 split is drawn once, per class, and saved beside the images as split.json. You can give the split
instead: by class folders inside folders called train, val and test, or by a column `split` in the table.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from adapt.data import description, folders, splits
from adapt.data.dataset import Dataset, Sample, safe_relative_path
from adapt.data.description import FILE, Description, class_names_for
from adapt.data.folders import Image, is_image, some
from adapt.data.readers import dataset
from adapt.data.splits import Splits
from adapt.errors import UserError

TABLE = "images.csv"
SPLIT = "split.json"
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")  # what DVC allows in a stage's name
SEED = 0
LEAST = 3  # images per class: one for each split


def names(root: Path) -> list[str]:
    """Return the names of the datasets under a root."""
    return sorted(
        path.parent.name for path in root.glob(f"*/{FILE}") if path.is_file() and NAME.fullmatch(path.parent.name)
    )


def lacks(home: Path) -> list[str]:
    """Explain why a folder is not a dataset; return nothing if it is one."""
    found = []
    if not NAME.fullmatch(home.name):
        found.append("its name may only have letters, digits, _ and -, and has to begin with a letter or digit")
    if not (home / FILE).is_file():
        other = next((path.name for path in sorted(home.glob("*.y*ml"))), None)
        hint = f"; is {other} meant to be it?" if other else ""
        found.append(f"it has no {FILE}, with a line such as `template: a photo of a {{}}.`{hint}")
    return found


def load(name: str, root: Path) -> Dataset:
    """Load a dataset of `names(root)`; if it has no split yet, draw and save one.

    Raises: UserError for errors in its files.
    """
    home = root / name
    described = description.read(home)
    if not (home / SPLIT).is_file():
        drawn = make_split(find(home), home)
        make_sense(drawn, splits.class_names(drawn, home), home)
        splits.write(drawn, home / SPLIT)
    return read_folder(home, described, home / FILE)


def read_folder(home: Path, described: Description, where: Path | str) -> Dataset:
    """Read the dataset in a folder without writing anything.

    The split is that of split.json; without that file, it is drawn as `load` would draw it.

    where: where the class names were given, for messages.
    """
    path = home / SPLIT
    if not path.is_file():
        return build(home.name, home, make_split(find(home), home), described, home, where)
    found = splits.parse(path.read_bytes(), path)
    return build(home.name, home, found, described, path, where)


def read_table(table: Path, described: Description, where: Path | str) -> Dataset:
    """Read the dataset in a table of images without writing anything.

    The table may have any name. The split is drawn as `load` would draw it.
    """
    drawn = make_split(from_table(table), table)
    return build(table.stem, table.parent, drawn, described, table, where)


def build(name: str, home: Path, found: Splits, described: Description, source: Path, where: Path | str) -> Dataset:
    """Make a dataset of the images below `home`, if its split is valid.

    source: the file or folder that the split was read from
    """
    labels = splits.class_names(found, source)
    make_sense(found, labels, source)
    if source.name == SPLIT:
        agree(found, home)
    names = class_names_for(labels, described, where)
    return dataset(name, described.template, names, found, home, labels=tuple(labels))


def make_sense(found: Splits, labels: list[str], path: Path) -> None:
    """Refuse a split that cannot be trained or scored on: raise UserError.

    The val split may be empty: see `sampling`.
    """
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise UserError(f"{path}: the class {twice[0]!r} has several numbers; give each class one number")
    if len(labels) < 2:
        raise UserError(f"{path}: there are images of {len(labels)} classes; a dataset needs two or more")
    for part in ("train", "test"):
        if not getattr(found, part):
            raise UserError(f"{path}: there are no {part} images; train needs some of every class, test needs some")
    untaught = [labels[label] for label in sorted(set(range(len(labels))) - {item.label for item in found.train})]
    if untaught:
        raise UserError(
            f"{path}: no training images of {some([repr(label) for label in untaught])}; every class needs some"
        )
    counts = Counter(plain(item.path) for part in found for item in part)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(f"{path}: {some(twice)}: an image may be listed once, in one split; remove the other entries")


def agree(found: Splits, home: Path) -> None:
    """Refuse a split that contradicts its table: raise UserError.

    Without a table there is nothing to contradict.
    """
    if not (home / TABLE).is_file():
        return
    told = {image.path: image.label for image in from_table(home / TABLE)}
    for item in (item for part in found for item in part):
        if told.get(plain(item.path)) not in (item.name, str(item.label)):
            here = repr(told[plain(item.path)]) if plain(item.path) in told else "not there"
            raise UserError(
                f"{home / TABLE} and {SPLIT} disagree: {item.path} is {here} in the table and {item.name!r} in the "
                f"split; delete {SPLIT} to draw it anew from the table, or the table if the split is right"
            )


def plain(path: str) -> str:
    """Return the canonical spelling of a path: ./a.jpg becomes a.jpg."""
    return str(PurePosixPath(path))


class Unused(NamedTuple):
    """Files in the folder that are not in the dataset.

    Attributes:
        images: those that a new split would include
        others: all the rest
    """

    images: list[str]
    others: list[str]


def unused(found: Dataset, home: Path) -> Unused:
    """Find the files in the folder that are not in the dataset.

    The split is already fixed, so none of them is an error.
    """
    listed = {plain(item.path) for part in (found.train, found.val, found.test) for item in part}
    names = [name for name in listing(home) if name not in listed | {FILE, TABLE, SPLIT}]
    tabled = {image.path for image in from_table(home / TABLE)} if (home / TABLE).is_file() else None
    wanted = [name for name in names if ("/" in name if tabled is None else name in tabled) and is_image(home / name)]
    return Unused(wanted, [name for name in names if name not in set(wanted)])


def remarks(found: Dataset, home: Path) -> list[str]:
    """Describe the files in the folder that are not in the dataset, a sentence each."""
    rest = unused(found, home)
    return [*passed_over(rest, home), *left_out(rest, found, home)]


def passed_over(rest: Unused, home: Path) -> list[str]:
    """Describe the files in the folder that are not images of a class."""
    others, why = rest.others, f"not in {TABLE}" if (home / TABLE).is_file() else "not images of a class"
    return [f"ignored {len(others)} files that are {why}: {some(others)}"] if others else []


def left_out(rest: Unused, found: Dataset, home: Path) -> list[str]:
    """Describe the images in the folder that are not in the split."""
    images = rest.images
    if not images:
        return []
    listed = {plain(item.path).partition("/")[0] for part in (found.train, found.val, found.test) for item in part}
    new = sorted({path.partition("/")[0] for path in images} - listed)
    folders_too = f" (including all of {some(new)})" if new else ""
    return [
        f"{len(images)} images, the first {images[0]}{folders_too}, are not in {home / SPLIT}, which is older: delete "
        "it to draw a new split"
    ]


def listing(home: Path) -> list[str]:
    """List all files in the folder, so that new ones are noticed."""
    return [path.relative_to(home).as_posix() for path in folders.walk(home)]


def files(dataset: Dataset, home: Path) -> list[tuple[str, Path]]:
    """Return all files that affect results.

    These are the description, the table, the split, and the images in the split.
    """
    images = {item.path for part in (dataset.train, dataset.val, dataset.test) for item in part}
    return [(name, home / name) for name in (FILE, TABLE, SPLIT, *sorted(images))]


def find(home: Path) -> list[Image]:
    """Find all images: in images.csv if there is one, else in the class folders.

    Raises: UserError for an invalid table or folder.
    """
    if (home / TABLE).is_file():
        return from_table(home / TABLE)
    return folders.find(home)


def from_table(source: Path) -> list[Image]:
    """Read a table of images.

    Its columns are path, label (a number or the class's name) and, optionally, split. Blanks around a value are
    ignored.
    """
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, skipinitialspace=True)
            columns = reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{source} is not a readable CSV file: {error}") from None
    if not columns.count("path") == columns.count("label") == 1:
        hint = "; separate them by commas" if len(columns) == 1 and re.search("[;\t|]", columns[0]) else ""
        raise UserError(f"{source}: expected the columns path and label, got {', '.join(columns) or 'none'}{hint}")
    found: dict[str, Image] = {}
    for line, row in rows:
        path, label = ((row[column] or "").strip() for column in ("path", "label"))
        if not path and not label:  # spreadsheets leave empty rows at the end
            continue
        path = plain(safe_relative_path(path, source))
        if path in found:
            raise UserError(f"{source}, line {line}: {path} is listed twice; an image has one label")
        if not label:
            raise UserError(f"{source}, line {line}: {path} has no label")
        if not (source.parent / path).is_file():
            raise UserError(f"{source}, line {line}: there is no image {source.parent / path}")
        split = (row["split"] or "").strip().lower() if "split" in columns else None
        if split is not None and split not in Splits._fields:
            raise UserError(f"{source}, line {line}: split: expected train, val or test, got {split!r}")
        found[path] = Image(path, label, split)
    return list(found.values())


def make_split(found: list[Image], home: Path) -> Splits:
    """Shuffle each class's images and split them 50 : 20 : 30.

    This is CoOp's protocol for datasets without a split. Images whose folders or table name a split stay in that split.
    """
    by_label: dict[str, list[Image]] = {}
    for image in found:
        by_label.setdefault(image.label, []).append(image)
    if len(by_label) < 2:
        raise UserError(f"{home} has {len(by_label)} classes of images; a dataset needs two or more")
    numbers = all(label.isdecimal() for label in by_label)
    order = sorted(by_label, key=int if numbers else str)
    rng = np.random.default_rng(SEED)
    parts = Splits([], [], [])
    for number, label in enumerate(order):
        for part, paths in zip(parts, cut(label, sorted(by_label[label]), home, rng), strict=True):
            part.extend(Sample(path, number, label) for path in paths)
    return parts


def cut(label: str, images: list[Image], home: Path, rng: np.random.Generator) -> Iterable[list[str]]:
    """Split a class's images as the folders or the table say, else at random."""
    if images[0].split:
        return [[image.path for image in images if image.split == part] for part in Splits._fields]
    if len(images) < LEAST:
        raise UserError(
            f"{home}: class {label!r} has {len(images)} images; it needs at least {LEAST}, one for each split"
        )
    return splits.split([image.path for image in images], rng)
