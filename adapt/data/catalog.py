"""All datasets by name: the pocket's, the paper's and your own."""

import os
from collections.abc import Iterable
from pathlib import Path

from adapt.data import builtin, custom, readers
from adapt.data.dataset import Dataset
from adapt.data.specs import dataset_specs
from adapt.errors import UserError, nearest
from adapt.pipeline.paths import resolve


def root() -> Path:
    """Where datasets lie: $ADAPT_DATA, or ./datasets."""
    return resolve(os.environ.get("ADAPT_DATA") or "datasets")


def names(home: Path | None = None) -> list[str]:
    """The datasets that can be tuned on: those known and your own under `home` (default: `root()`)."""
    trained = (name for name, entry in dataset_specs().items() if entry.sizes.train)
    return sorted({*builtin.NAMES, *trained, *custom.names(home or root())})


def shifts() -> list[str]:
    """The datasets that have a test split only: ImageNet's shifts."""
    return [name for name, entry in dataset_specs().items() if not entry.sizes.train]


def files(name: str, home: Path | None = None) -> list[tuple[str, Path]]:
    """The files that decide which images a dataset consists of, under names that do not depend on where it lies.

    Of one's own datasets and of the pocket's also those that hold the images; not of downloaded ones, which are many
    and were held to checksums when they were fetched. Draws the split of one's own where there is none yet.

    Raises: UserError as `load` for what is wrong in one's own datasets and for a package that is missing.
    """
    home = home or root()
    if name in builtin.NAMES:
        return [(path.name, path) for path in builtin.files(name)]
    if name in dataset_specs():
        return readers.files(dataset_specs()[name], home)
    return custom.files(load(name, home), home / name)


def listing(name: str, home: Path | None = None) -> list[str]:
    """The names of all that lies in the folder of one's own dataset; nothing for others."""
    home = home or root()
    return custom.listing(home / name) if name in custom.names(home) else []


def remarks(dataset: Dataset, home: Path | None = None) -> list[str]:
    """What the folder of one's own dataset holds that is not in it, a sentence each."""
    home = home or root()
    if dataset.name not in custom.names(home):
        return []
    rest = custom.unused(dataset, home / dataset.name)
    return [*custom.passed_over(rest, home / dataset.name), *custom.left_out(rest, dataset, home / dataset.name)]


def load(name: str, home: Path | None = None) -> Dataset:
    """A dataset by name, from the installed packages or from `home` (default: `root()`).

    Raises: UserError for an unknown name, for what is missing or broken, and for a folder of yours that takes the name
    of another dataset.
    """
    home = home or root()
    known = name in builtin.NAMES or name in dataset_specs()
    if known and name in custom.names(home):
        raise UserError(f"{home / name / custom.FILE}: {name} is the name of another dataset; rename the folder")
    if name in builtin.NAMES:
        return builtin.load(name)
    if name in dataset_specs():
        return readers.read(name, dataset_specs()[name], home)
    if name in custom.names(home):
        return custom.load(name, home)
    raise UserError(unknown(name, home, also=shifts()))


def unknown(name: str, home: Path | None = None, also: Iterable[str] = ()) -> str:
    """Why a name is not among `names(home)` and `also`: what a folder of that name lacks, else the nearest name."""
    if home and not home.is_dir():
        return f"unknown dataset {name!r}, and {home} is no folder; {nearest(name, [*names(home), *also])}"
    home = home or root()
    if name in shifts():
        return f"nothing can be tuned on {name}: it has test images only"
    if (home / name).is_dir() and (reasons := custom.lacks(home / name)):
        return f"unknown dataset {name!r}: {home / name} is none: {', and '.join(reasons)}"
    return f"unknown dataset {name!r}; {nearest(name, [*names(home), *also])}"
