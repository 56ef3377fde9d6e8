"""Views: random resized crops, each a pure function of (seed, image, view).

This way, the teacher's features of the exact crops that training will see are computed once, for all methods. Crop and
flip follow torchvision's RandomResizedCrop (aspect ratio 3/4 to 4/3) with CLIP's bicubic interpolation. Views are
always cut on the CPU: a GPU resizes in floating point and rounds to other bytes, so its crops would differ.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

RATIO = (3 / 4, 4 / 3)  # width / height
TRIES = 10  # attempts before the central crop is taken


def to_tensor(image: Image.Image | NDArray[np.uint8]) -> UInt8[Tensor, "3 y x"]:
    """Return an RGB image as a tensor [3, y, x].

    An array [y, x, 3] of its pixels is not copied.
    """
    pixels = np.array(image) if isinstance(image, Image.Image) else image
    return torch.from_numpy(pixels).permute(2, 0, 1)


def augmented_view(
    image: UInt8[Tensor, "3 y x"],
    key: tuple[int, int, int],
    *,
    size: int,
    crop_scale: list[float],
    horizontal_flip: bool,
) -> UInt8[Tensor, "3 size size"]:
    """Cut one view of an image, `size` pixels square.

    key: (seed, number of the image, number of the view)
    """
    generator = np.random.default_rng(key)
    height, width = image.shape[-2:]
    crop = random_crop_box(generator, height, width, crop_scale)
    flipped = bool(generator.random() < 0.5)  # always drawn: `horizontal_flip` does not change the crops
    out = transforms.resized_crop(
        image, *crop, size=[size, size], interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    return transforms.horizontal_flip(out) if horizontal_flip and flipped else out


def random_crop_box(
    generator: np.random.Generator, height: int, width: int, scale: list[float]
) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a random crop.

    The crop's share of the image's area is drawn from the range `scale`. If no attempt fits, as for most crops of a
    very elongated image, return the largest central crop whose aspect ratio is in RATIO (torchvision's
    RandomResizedCrop).
    """
    for _ in range(TRIES):
        area = height * width * generator.uniform(scale[0], scale[1])
        ratio = math.exp(generator.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1)), h, w
    h, w = min(height, round(width / RATIO[0])), min(width, round(height * RATIO[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def augmented_batch(
    images: list[Tensor], keys: list[tuple[int, int, int]], threads: int = 1, **settings: Any
) -> UInt8[Tensor, "b 3 size size"]:
    """Cut one view of each image, using `threads` threads."""
    cut = partial(augmented_view, **settings)
    if threads == 1:
        return torch.stack(list(map(cut, images, keys)))
    with ThreadPoolExecutor(threads) as pool:
        return torch.stack(list(pool.map(cut, images, keys)))
