"""The test images of a dataset, decoded for evaluation: data/pack/<dataset>/.

`pixels.npy` is one array of bytes [n, 3, size, size]. It is mapped into memory rather than read, so that any number of
methods and seeds share one copy. `paths.csv` lists the path of each row.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapt.data.dataset import Dataset, center_crop
from adapt.errors import UserError
from adapt.runtime import files, formats, platforms, workers

ROOT = Path("data/pack")
PIXELS, PATHS = "pixels.npy", "paths.csv"
COLUMNS = ("path",)
CHUNK = 32  # images that a worker takes at a time
NAMED = 20  # most unreadable images that the message names

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Images:
    """Some images of a cache, in order.

    A slice of them is an array [b, 3, size, size].
    """

    pixels: Pixels
    rows: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Pixels:
        return np.asarray(self.pixels[self.rows[part]])


class ImageCache(NamedTuple):
    """Images [n, 3, size, size] and the row of each path."""

    pixels: Pixels
    rows: dict[str, int]

    def select(self, paths: Iterable[str]) -> Images:
        """Return the images of some paths, in order, without reading them yet."""
        return Images(self.pixels, [self.rows[path] for path in paths])


def write(
    source: Dataset, paths: Iterable[str], size: int, *, processes: int, progress: Callable[..., Iterable[Any]]
) -> int:
    """Decode images of a dataset, write them and return their number.

    Raises: UserError that names the images that cannot be read; then nothing is written.
    """
    paths = unique(paths)
    with files.atomic_dir(ROOT / source.name) as folder:
        pixels = allocate(folder / PIXELS, (len(paths), 3, size, size))
        decode_into(pixels, source, paths, processes=processes, progress=progress)
        formats.write_csv(folder / PATHS, COLUMNS, [{"path": path} for path in paths])
    return len(paths)


def allocate(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Create an array in a file, to be filled.

    Disk space for all of it is reserved.
    """
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    platforms.reserve_space(path)
    return pixels


def decode(source: Dataset, paths: Iterable[str], size: int) -> ImageCache:
    """Decode some images into a cache in memory.

    Raises: UserError that names the images that cannot be read.
    """
    wanted = unique(paths)
    pixels = np.empty((len(wanted), 3, size, size), dtype=np.uint8)
    decode_into(pixels, source, wanted, processes=1, progress=lambda rows, **_: rows)
    return index(pixels, wanted)


def read(dataset: str, size: int) -> ImageCache:
    """Return the cache of a dataset.

    Raises: UserError if it is missing, broken or of another resolution.
    """
    path, made_by = ROOT / dataset / PIXELS, f"dvc repro -f pack@{dataset}"
    rows = formats.read_csv(path.with_name(PATHS), made_by)
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
    """Return each path once, in order."""
    return list(dict.fromkeys(paths))


def index(pixels: Pixels, paths: Sequence[str]) -> ImageCache:
    """Make a cache from images and their paths."""
    return ImageCache(pixels, {path: row for row, path in enumerate(paths)})


def decode_into(
    pixels: Pixels, source: Dataset, paths: Sequence[str], *, processes: int, progress: Callable[..., Iterable[Any]]
) -> None:
    """Decode images into the rows of an array.

    Several processes need an array that they share, such as a mapped file.

    Raises: UserError, after all images were tried, that names those that cannot be read.
    """
    size = pixels.shape[-1]

    def put(row: int) -> str | None:
        try:
            pixels[row] = center_crop(source.image(paths[row]), size)
        except UserError as error:
            return str(error)
        return None

    decoding = workers.run(put, range(len(paths)), processes=processes, chunk=CHUNK, setting="runtime.num_workers")
    with closing(decoding) as found:
        problems = [problem for problem in progress(found, total=len(paths)) if problem]
    if problems:
        more = [f"… and {len(problems) - NAMED} more"] if len(problems) > NAMED else []
        raise UserError("\n".join([*problems[:NAMED], *more]))
