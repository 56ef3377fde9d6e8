"""Load a dataset by its name, or your own images."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapt.api.checks import expect, on_disk
from adapt.data import catalog, custom, description
from adapt.data.dataset import Dataset
from adapt.errors import UserError

WHERE = "adapt.load_dataset"
TEMPLATE = "a photo of a {}."  # CLIP's default for images of any kind


def load_dataset(
    source: str | Path,
    *,
    template: str | None = None,
    classes: Mapping[str | int, str] | Sequence[str] | None = None,
    root: str | Path | None = None,
) -> Dataset:
    """Load a dataset; nothing is written to its folder.

    Args:
        source: the name of a dataset (`list_datasets()`), or the path of your own images: a folder with a subfolder for
            each class, a folder with such folders in train, val and test, or a CSV file with the columns path and
            label. A string that is both a name and a path is a name; `./insects` is a path.
        template: the template for class names, for your own images; by default that of dataset.yaml in the folder, else
            `a photo of a {}.`
        classes: class names for your own images, by folder or label, or as a list in their order; by default those of
            dataset.yaml, else the folders' names or the labels.
        root: the folder that holds the datasets known by name; by default $ADAPT_DATA, else ./datasets.

    Returns:
        The dataset: `classes`, `template`, and the splits `train`, `val` and `test` of labelled images. Your own images
        are split 50 : 20 : 30 per class (CoOp's protocol), always the same way, or as split.json in the folder says.

    Raises:
        UserError: for an unknown name (with the nearest), a path that does not exist, packages or downloads that are
            missing, and images or classes that make no dataset: fewer than two classes, or a class of fewer than three
            images.
    """
    expect(source, str | Path, f"{WHERE}: source", "the name of a dataset, or the path of a folder or a CSV file")
    expect(root, str | Path | None, f"{WHERE}: root", "a folder")
    if not str(source).strip():
        raise UserError(f"{WHERE}: source: expected a name or a path, got {source!r}")
    with on_disk(WHERE):
        return load(source, template, classes, root)


def load(source: str | Path, template: str | None, classes: Any, root: str | Path | None) -> Dataset:
    """Load a dataset by its name or its path."""
    place = Path(root or catalog.default_root()).expanduser()
    own = None if is_name(source, place) else Path(source).expanduser()
    if own is None and source in custom.names(place) and source not in catalog.known():
        own = place / source
    if own is None:
        if template is not None or classes is not None:
            raise UserError(f"adapt.load_dataset: template and classes are for your own images; {source} has its own")
        return catalog.load(str(source), place)
    found = load_own(own, template, classes)
    if found.name in catalog.known():  # the settings of the known dataset must not apply to this one
        found = replace(found, name=f"own_{found.name}")
        warnings.warn(f"{own}: called {found.name} here, since that name is another dataset's", stacklevel=3)
    for remark in custom.remarks(found, own) if own.is_dir() else []:
        warnings.warn(f"{found.name}: {remark}", stacklevel=3)
    return found


def list_datasets(root: str | Path | None = None) -> list[str]:
    """List the datasets that `load_dataset` knows by name, with those in `root`."""
    expect(root, str | Path | None, "adapt.list_datasets: root", "a folder")
    return catalog.names(Path(root or catalog.default_root()).expanduser())


def is_name(source: str | Path, place: Path) -> bool:
    """Return whether a source is meant as a name rather than as a path."""
    if isinstance(source, Path):
        return False
    return source in catalog.names(place) or not ("/" in source or Path(source).expanduser().exists())


def load_own(path: Path, template: str | None, classes: Any) -> Dataset:
    """Load the dataset in a folder or a table of one's own images."""
    if not path.exists():
        raise UserError(f"adapt.load_dataset: there is no file or folder {path}")
    path = path.resolve()
    path = path.parent if path.name == custom.TABLE else path
    given = {"template": template, "classes": list(classes) if isinstance(classes, tuple) else classes}
    given = {key: value for key, value in given.items() if value is not None}
    if path.is_file():
        return custom.read_table(path, description.parse({"template": TEMPLATE, **given}, WHERE), WHERE)
    described = path / description.FILE
    held = description.read(path).model_dump() if described.is_file() else {"template": TEMPLATE}
    where = WHERE if "classes" in given or not described.is_file() else described
    return custom.read_folder(path, description.parse({**held, **given}, WHERE), where)
