"""All datasets by name: the pocket's, the paper's and your own."""

import os
from collections.abc import Iterable
from pathlib import Path

from adapt.data import builtin, custom, description, readers
from adapt.data.dataset import Dataset
from adapt.data.specs import dataset_specs
from adapt.errors import UserError, nearest


def default_root() -> str:
    """The folder of datasets where none is given: $ADAPT_DATA, else ./datasets."""
    return os.environ.get("ADAPT_DATA") or "datasets"


def known() -> set[str]:
    """The names that no dataset of yours may take."""
    return {*builtin.NAMES, *dataset_specs()}


def names(root: Path) -> list[str]:
    """The datasets that can be tuned on: those known and your own under `root`."""
    trained = (name for name, entry in dataset_specs().items() if entry.sizes.train)
    return sorted({*builtin.NAMES, *trained, *custom.names(root)})


def shifts() -> list[str]:
    """The datasets that have a test split only: ImageNet's shifts."""
    return [name for name, entry in dataset_specs().items() if not entry.sizes.train]


def files(name: str, root: Path) -> list[tuple[str, Path]]:
    """The files that decide which images a dataset consists of, under names that do not depend on where it lies.

    Of one's own datasets and of the pocket's also those that hold the images; not of downloaded ones, which are many
    and were held to checksums when they were fetched. Draws the split of one's own where there is none yet.

    Raises: UserError as `load` for what is wrong in one's own datasets and for a package that is missing.
    """
    if name in builtin.NAMES:
        return [(path.name, path) for path in builtin.files(name)]
    if name in dataset_specs():
        return readers.files(dataset_specs()[name], root)
    return custom.files(load(name, root), root / name)


def listing(name: str, root: Path) -> list[str]:
    """The names of all that lies in the folder of one's own dataset; nothing for others."""
    return custom.listing(root / name) if name in custom.names(root) else []


def remarks(dataset: Dataset, root: Path) -> list[str]:
    """What the folder of one's own dataset holds that is not in it, a sentence each."""
    return custom.remarks(dataset, root / dataset.name) if dataset.name in custom.names(root) else []


def load(name: str, root: Path) -> Dataset:
    """A dataset by name, from the installed packages or from `root`.

    Raises: UserError for an unknown name, for what is missing or broken, and for a folder of yours that takes the name
    of another dataset.
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
    """Why a name is not among `names(root)` and `also`: what a folder of that name lacks, else the nearest name."""
    if name in shifts():
        return f"nothing can be tuned on {name}: it has test images only"
    if (root / name).is_dir() and (reasons := custom.lacks(root / name)):
        return f"unknown dataset {name!r}: {root / name} is none: {', and '.join(reasons)}"
    return f"unknown dataset {name!r}; {nearest(name, [*names(root), *also])}"
