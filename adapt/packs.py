"""The test images of a dataset as evaluation sees them, decoded once: data/pack/<dataset>/.

`pixels.npy` is one array of bytes [n, 3, size, size], which is mapped into memory rather than read, so that any number
of methods and seeds share one copy; `paths.csv` says whose rows they are.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapt import artefacts, parallel
from adapt.data.dataset import Dataset, centre
from adapt.errors import UserError

ROOT = Path("data/pack")
PIXELS, PATHS = "pixels.npy", "paths.csv"
COLUMNS = ("path",)
CHUNK = 32  # images that a worker takes at a time
NAMED = 20  # unreadable images that are named

Pixels = NDArray[np.uint8]


class Pack(NamedTuple):
    """Images [n, 3, size, size] and the row of each path."""

    pixels: Pixels
    rows: dict[str, int]

    def of(self, paths: Iterable[str]) -> Pixels:
        """A copy of some images, in order."""
        return np.asarray(self.pixels[[self.rows[path] for path in paths]])


def write(
    source: Dataset, paths: Iterable[str], size: int, *, workers: int, progress: Callable[..., Iterable[Any]]
) -> int:
    """Decode images of a dataset and write them; returns their number.

    Raises: UserError that names the images that cannot be read; nothing is written then.
    """
    paths = unique(paths)
    with artefacts.folder(ROOT / source.name) as folder:
        shape = len(paths), 3, size, size
        pixels = np.lib.format.open_memmap(folder / PIXELS, mode="w+", dtype=np.uint8, shape=shape)
        with (folder / PIXELS).open("r+b") as file:  # a full disk is an error now rather than a bus error later
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        fill(pixels, source, paths, workers=workers, progress=progress)
        pixels.flush()
        artefacts.write_csv(folder / PATHS, COLUMNS, [{"path": path} for path in paths])
    return len(paths)


def decode(source: Dataset, paths: Iterable[str], size: int) -> Pack:
    """Some images as a pack in memory.

    Raises: UserError that names the images that cannot be read.
    """
    wanted = unique(paths)
    pixels = np.empty((len(wanted), 3, size, size), dtype=np.uint8)
    fill(pixels, source, wanted, workers=1, progress=lambda rows, **_: rows)
    return index(pixels, wanted)


def read(dataset: str, size: int) -> Pack:
    """The pack of a dataset.

    Raises: UserError when it is missing, broken or of another resolution.
    """
    path, made_by = ROOT / dataset / PIXELS, f"dvc repro -f pack@{dataset}"
    rows = artefacts.read_csv(path.with_name(PATHS), made_by)
    try:
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is missing or broken ({error}); make it again with `{made_by}`") from None
    if pixels.shape != (len(rows), 3, size, size):
        raise UserError(
            f"{path} has the shape {pixels.shape}, but the params ask for {(len(rows), 3, size, size)}; make it again "
            f"with `{made_by}`"
        )
    return index(pixels, [row["path"] for row in rows])


def unique(paths: Iterable[str]) -> list[str]:
    """Each path once, in order."""
    return list(dict.fromkeys(paths))


def index(pixels: Pixels, paths: Sequence[str]) -> Pack:
    """A pack of images and their paths."""
    return Pack(pixels, {path: row for row, path in enumerate(paths)})


def fill(
    pixels: Pixels, source: Dataset, paths: Sequence[str], *, workers: int, progress: Callable[..., Iterable[Any]]
) -> None:
    """Decode images into the rows of an array; with several workers it has to be one that processes share."""
    size = pixels.shape[-1]

    def put(row: int) -> str | None:
        try:
            pixels[row] = centre(source.image(paths[row]), size)
        except UserError as error:
            return str(error)
        return None

    found = parallel.run(put, range(len(paths)), processes=workers, chunk=CHUNK, knob="runtime.workers")
    problems = [problem for problem in progress(found, total=len(paths)) if problem]
    if problems:
        more = [f"… and {len(problems) - NAMED} more"] if len(problems) > NAMED else []
        raise UserError("\n".join([*problems[:NAMED], *more]))
