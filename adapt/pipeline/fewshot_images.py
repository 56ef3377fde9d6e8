"""The few-shot images of a dataset at full size, in data/teacher/<dataset>/.

They are decoded once for all methods. `images.bin` holds their bytes [height, width, 3], one image after the other, and
is mapped into memory rather than read. `images.csv` lists their paths and sizes.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.data.dataset import Dataset
from adapt.errors import UserError
from adapt.pipeline import teacher_cache
from adapt.runtime import formats, workers

BYTES, SIZES = "images.bin", "images.csv"
COLUMNS = ("path", "height", "width")
AT_ONCE = 1024  # most images that wait in memory to be written
CHUNK = 16  # images that a worker takes at a time

Images = Mapping[str, NDArray[np.uint8]]  # [height, width, 3] by path


def write(
    folder: Path, source: Dataset, paths: Iterable[str], *, processes: int, progress: Callable[..., Iterable[Any]]
) -> None:
    """Decode images of a dataset into a folder.

    Raises: UserError for an image that cannot be read.
    """
    paths = list(dict.fromkeys(paths))
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]

    def decode(path: str) -> NDArray[np.uint8]:
        return np.asarray(source.image(path))

    def decoded() -> Iterable[NDArray[np.uint8]]:
        for part in parts:
            with closing(
                workers.run(decode, part, processes=processes, chunk=CHUNK, setting="runtime.num_workers")
            ) as found:
                yield from found

    rows = []
    with (folder / BYTES).open("wb") as file:
        for path, pixels in zip(paths, progress(decoded(), total=len(paths)), strict=True):
            file.write(pixels.tobytes())
            rows.append({"path": path, "height": pixels.shape[0], "width": pixels.shape[1]})
    formats.write_csv(folder / SIZES, COLUMNS, rows)


def read(dataset: str) -> Images:
    """Return the few-shot images of a dataset.

    Raises: UserError if they are missing or broken.
    """
    return open_folder(teacher_cache.ROOT / dataset, f"dvc repro -f teacher@{dataset}")


def open_folder(folder: Path, made_by: str) -> Images:
    """Return the images of a folder, without reading them yet."""
    sizes = [(row["path"], int(row["height"]), int(row["width"])) for row in formats.read_csv(folder / SIZES, made_by)]
    total = sum(3 * height * width for _, height, width in sizes)
    try:
        pixels = np.memmap(folder / BYTES, np.uint8, mode="c") if total else np.empty(0, np.uint8)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / BYTES} is missing or broken ({error}); make it again with `{made_by}`") from None
    if len(pixels) != total:
        raise UserError(f"{folder / BYTES} has {len(pixels)} bytes, not {total}; make it again with `{made_by}`")
    found, start = {}, 0
    for path, height, width in sizes:
        found[path] = pixels[start : start + 3 * height * width].reshape(height, width, 3)
        start += 3 * height * width
    return found
