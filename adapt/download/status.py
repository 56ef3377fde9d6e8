"""Which datasets are present: one line each."""

from collections.abc import Iterator
from pathlib import Path

from adapt.data import builtin, custom
from adapt.data.specs import DatasetSpec, JsonSplit, dataset_specs
from adapt.download.sources import DownloadSpec, download_specs

GIB = 1 << 30
COUNTS = ("train", "val", "test", "download")


def lines(root: Path) -> Iterator[str]:
    """Yield a table of all datasets, line by line.

    It shows their state, images per split, size of the download and licence.
    """
    yield f"datasets in {root} (set ADAPT_DATA for another folder)"
    head = ("name", "state", "train", "val", "test", "download", "licence")
    rows = [head, *(row(name, entry, root) for name, entry in dataset_specs().items())]
    rows += [(name, "here", "", "", "", "", "yours") for name in custom.names(root)]
    rows += [(name, "here", "", "", "", "", "in the installed packages") for name in builtin.NAMES]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        aligned = [
            cell.rjust(width) if column in COUNTS else cell.ljust(width)
            for column, cell, width in zip(head, cells, widths, strict=True)
        ]
        yield "  ".join(aligned).rstrip()


def row(name: str, entry: DatasetSpec, root: Path) -> tuple[str, ...]:
    """Return the table's row of a dataset of the catalogue."""
    supply = download_specs()[name]
    amounts = (f"{count:,}" if count else "–" for count in entry.sizes.model_dump().values())
    return name, state(entry, supply, root), *amounts, download(supply), supply.licence


def download(supply: DownloadSpec) -> str:
    """Return the size of the download from the first source."""
    size = supply.sources[0].size()
    return f"{size / GIB:.1f} GiB" if size else "unknown"


def state(entry: DatasetSpec, supply: DownloadSpec, root: Path) -> str:
    """Return whether a dataset is here, missing, or to be downloaded by hand."""
    if entry.image_dir(root) is None:
        return "by hand" if supply.login else "missing"
    split = not isinstance(entry.split, JsonSplit) or (root / entry.split.file).is_file()
    return "here" if split else "split missing"
