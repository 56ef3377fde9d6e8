"""The test images of a dataset as evaluation sees them, decoded once: data/pack/<dataset>/.

`pixels.npy` is one array of bytes [n, 3, size, size], which is mapped into memory rather than read, so that any number
of methods and seeds share one copy; `paths.csv` says whose rows they are.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapt.data.dataset import Dataset, center_crop
from adapt.errors import UserError
from adapt.runtime import files, signals
from adapt.runtime import workers as parallel
from adapt.runtime.unfinished import Unfinished

ROOT = Path("data/pack")
PIXELS, PATHS = "pixels.npy", "paths.csv"
COLUMNS = ("path",)
CHUNK = 32  # images that a worker takes at a time
NAMED = 20  # unreadable images that are named

Pixels = NDArray[np.uint8]
Done = NDArray[np.bool_]  # [n]


class ImageCache(NamedTuple):
    """Images [n, 3, size, size] and the row of each path."""

    pixels: Pixels
    rows: dict[str, int]

    def of(self, paths: Iterable[str]) -> Pixels:
        """A copy of some images, in order."""
        return np.asarray(self.pixels[[self.rows[path] for path in paths]])


class Decoded(Unfinished):
    """Which rows of a pack are decoded; the pixels themselves grow in an array beside it."""

    suffix = ".rows"

    @property
    def pixels(self) -> Path | None:
        """Where the array is; None if another process has it."""
        return None if self.lock is None else self.path.with_suffix(".npy")

    def load(self, shape: tuple[int, ...]) -> tuple[Pixels, Done] | None:
        """The array and its rows that are done; None when there are none, or something is lost."""
        try:
            done = np.frombuffer(self.path.read_bytes(), dtype=bool).copy()
            if self.pixels is None or done.shape != shape[:1] or np.load(self.pixels, mmap_mode="r").shape != shape:
                return None  # opened to be written, a file that is too short would be made longer
            return np.lib.format.open_memmap(self.pixels, mode="r+"), done
        except (OSError, ValueError, EOFError):
            return None

    def save(self, pixels: np.memmap, done: Done) -> None:
        """Note what is done, once its pixels are on the disk."""
        pixels.flush()
        self.write(done.tobytes())


def write(
    source: Dataset,
    paths: Iterable[str],
    size: int,
    *,
    workers: int,
    progress: Callable[..., Iterable[Any]],
    store: Decoded | None = None,
) -> int:
    """Decode images of a dataset and write them; returns their number.

    store: where what is decoded already is noted; the array itself grows beside it, and moves when it is whole.

    Raises: UserError that names the images that cannot be read; nothing is written then but what the store keeps.
    """
    paths = unique(paths)
    with files.atomic_dir(ROOT / source.name) as folder:
        place, shape = (store and store.pixels) or folder / PIXELS, (len(paths), 3, size, size)
        pixels, done = (store and store.load(shape)) or begin(place, shape)
        decode_into(pixels, done, source, paths, workers=workers, progress=progress, store=store)
        shutil.move(place, folder / PIXELS)
        files.write_csv(folder / PATHS, COLUMNS, [{"path": path} for path in paths])
    if store:
        store.clear()
    return len(paths)


def begin(place: Path, shape: tuple[int, ...]) -> tuple[Pixels, Done]:
    """An array to be filled, with room for all of it on the disk, and its rows, of which none is done."""
    place.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(place, mode="w+", dtype=np.uint8, shape=shape)
    with place.open("r+b") as file:  # a full disk is an error now rather than a bus error later
        try:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        except OSError:
            place.unlink()
            raise
    return pixels, np.zeros(shape[0], dtype=bool)


def decode(source: Dataset, paths: Iterable[str], size: int) -> ImageCache:
    """Some images as a pack in memory.

    Raises: UserError that names the images that cannot be read.
    """
    wanted = unique(paths)
    pixels = np.empty((len(wanted), 3, size, size), dtype=np.uint8)
    decode_into(pixels, np.zeros(len(wanted), dtype=bool), source, wanted, workers=1, progress=lambda rows, **_: rows)
    return index(pixels, wanted)


def read(dataset: str, size: int) -> ImageCache:
    """The pack of a dataset.

    Raises: UserError when it is missing, broken or of another resolution.
    """
    path, made_by = ROOT / dataset / PIXELS, f"dvc repro -f pack@{dataset}"
    rows = files.read_csv(path.with_name(PATHS), made_by)
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


def index(pixels: Pixels, paths: Sequence[str]) -> ImageCache:
    """A pack of images and their paths."""
    return ImageCache(pixels, {path: row for row, path in enumerate(paths)})


def decode_into(
    pixels: Pixels,
    done: Done,
    source: Dataset,
    paths: Sequence[str],
    *,
    workers: int,
    progress: Callable[..., Iterable[Any]],
    store: Decoded | None = None,
) -> None:
    """Decode images into the rows of an array that are not done; several workers need one that processes share.

    Raises: UserError that names the images that cannot be read, after all others.
    """
    size, todo, problems = pixels.shape[-1], np.flatnonzero(~done).tolist(), []

    def put(row: int) -> str | None:
        try:
            pixels[row] = center_crop(source.image(paths[row]), size)
        except UserError as error:
            return str(error)
        return None

    def save() -> None:
        if store and isinstance(pixels, np.memmap):
            store.save(pixels, done)

    decoding = parallel.run(put, todo, processes=workers, chunk=CHUNK, knob="runtime.workers")
    with signals.deferred(), closing(decoding) as found:
        for row, problem in zip(todo, progress(found, total=len(todo)), strict=True):
            problems += [problem] if problem else []
            done[row] = not problem
            if store and (signals.stop_requested() or store.should_save()):
                save()
            signals.check_stop()
    save()
    if problems:
        more = [f"… and {len(problems) - NAMED} more"] if len(problems) > NAMED else []
        raise UserError("\n".join([*problems[:NAMED], *more]))
