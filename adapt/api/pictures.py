"""Images that the caller passes: paths, Pillow images and arrays."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from adapt.data.dataset import Split, center_crop, open_image, to_rgb
from adapt.errors import UserError

Picture = str | Path | PIL.Image.Image | NDArray[np.uint8]


class Pictures:
    """Images resized and cropped as for evaluation, decoded a slice at a time.

    A slice is uint8 [b, 3, size, size].

    Raises:
        UserError: for an image that cannot be read, named by its path or its position from 0.
    """

    def __init__(self, pictures: Split | Iterable[Picture], size: int):
        self.size = size
        self.pictures: Split | list[Picture] = pictures if isinstance(pictures, Split) else as_list(pictures)
        if not self.pictures:
            raise UserError("predict: there are no images: the list is empty")

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter's lock while it decodes and resizes
            return np.stack(list(pool.map(self.read, range(len(self))[part])))

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return the crop [3, size, size] of one image."""
        if isinstance(self.pictures, Split):
            return center_crop(self.pictures.image(index), self.size)
        picture = self.pictures[index]
        name = str(picture) if isinstance(picture, str | Path) else f"number {index}, counted from 0,"
        return read(picture, name, self.size)


def read(picture: Picture, name: str, size: int) -> NDArray[np.uint8]:
    """Return the crop [3, size, size] of an image.

    Raises:
        UserError: for an image that cannot be read, by its name.
    """
    try:
        with decode(picture) as image:
            if 0 in image.size:
                raise ValueError("it has no pixels")
            return center_crop(to_rgb(image), size)
    except Exception as error:  # Pillow raises more than OSError on a broken file
        raise UserError(f"image {name} cannot be read ({error}); replace it or leave it out") from None


def as_list(pictures: Any) -> list[Any]:
    """Return the images as a list.

    Raises:
        UserError: for a single image.
    """
    single = isinstance(pictures, str | bytes | Path | PIL.Image.Image) or getattr(pictures, "ndim", 4) < 4
    if single:
        raise UserError("predict: expected a list of images, got a single one: put it into a list")
    if not isinstance(pictures, Iterable):
        raise UserError(f"predict: expected a list of images, got {type(pictures).__name__}")
    return list(pictures)


def decode(picture: Any) -> PIL.Image.Image:
    """Open an image; a file is not decoded yet.

    Raises:
        ValueError: for a value that is no image.
    """
    if isinstance(picture, PIL.Image.Image):
        return picture.copy()  # the copy will be closed, the caller's image stays open
    if isinstance(picture, str | Path):
        return open_image(Path(picture))
    array = np.asarray(picture)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(
            f"expected a path, a Pillow image or an array of uint8 [height, width, 3] or [height, width], got "
            f"{type(picture).__name__} of {array.dtype} {list(array.shape)}"
        )
    return PIL.Image.fromarray(array)
