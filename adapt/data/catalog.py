"""All datasets by name: the pocket datasets, the paper's and your own."""

import os
from collections.abc import Iterable
from pathlib import Path

from adapt.data import builtin, custom, description, readers
from adapt.data.dataset import Dataset
from adapt.data.specs import dataset_specs
from adapt.errors import UserError, nearest


def default_root() -> str:
    """Return the default folder of datasets: $ADAPT_DATA, else ./datasets."""
    return os.environ.get("ADAPT_DATA") or "datasets"


def known() -> set[str]:
    """Return the names that your own datasets may not take."""
    return {*builtin.NAMES, *dataset_specs()}


def names(root: Path) -> list[str]:
    """Return the datasets that have training images.

    These are the pocket datasets, the paper's without ImageNet's shifts, and your own under `root`.
    """
    trained = (name for name, entry in dataset_specs().items() if entry.sizes.train)
    return sorted({*builtin.NAMES, *trained, *custom.names(root)})


def shifts() -> list[str]:
    """Return the datasets that have a test split only: ImageNet's shifts."""
    return [name for name, entry in dataset_specs().items() if not entry.sizes.train]


def files(name: str, root: Path) -> list[tuple[str, Path]]:
    """Return the files that decide which images a dataset consists of.

    Each comes with a name that does not depend on the dataset's location. For your own and the pocket datasets, the
    files with the images are included. For downloaded datasets they are not: they are many, and their checksums were
    verified when they were fetched. If your own dataset has no split yet, its split is drawn.

    Raises: UserError, as `load`, for errors in your own datasets and for a missing package.
    """
    if name in builtin.NAMES:
        return [(path.name, path) for path in builtin.files(name)]
    if name in dataset_specs():
        return readers.files(dataset_specs()[name], root)
    return custom.files(load(name, root), root / name)


def listing(name: str, root: Path) -> list[str]:
    """Return the names of all files in the folder of your own dataset.

    For other datasets the list is empty.
    """
    return custom.listing(root / name) if name in custom.names(root) else []


def remarks(dataset: Dataset, root: Path) -> list[str]:
    """Describe the files in your own dataset's folder that it does not use.

    Each remark is a sentence; there are none for other datasets.
    """
    return custom.remarks(dataset, root / dataset.name) if dataset.name in custom.names(root) else []


def load(name: str, root: Path) -> Dataset:
    """Load a dataset by name, from the installed packages or from `root`.

    Raises: UserError for an unknown name, for missing or broken files, and for a folder of yours that has the name of
    another dataset.
    """
    if name in known() and name in custom.names(root):
        raise UserError(f"{root / name / description.FILE}: {name} is the name of another dataset; rename the folder")
    if name in builtin.NAMES:
        return builtin.load(name)
    if name in dataset_specs():
        return readers.read(name, dataset_specs()[name], root)
    if name in custom.names(root):
        return custom.load(name, root)
    raise UserError(unknown(name, root, also=shifts()))


def unknown(name: str, root: Path, also: Iterable[str] = ()) -> str:
    """Explain why a name is not among `names(root)` and `also`.

    If there is a folder of that name, say what it lacks; otherwise suggest the nearest name.
    """
    if name in shifts():
        return f"nothing can be tuned on {name}: it has test images only"
    if (root / name).is_dir() and (reasons := custom.lacks(root / name)):
        return f"unknown dataset {name!r}: {root / name} is not a dataset: {', and '.join(reasons)}"
    return f"unknown dataset {name!r}; {nearest(name, [*names(root), *also])}"
