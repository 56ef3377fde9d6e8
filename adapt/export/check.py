"""Whether what was exported says what the method says, on real images."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.data import builtin
from adapt.data.dataset import Dataset, center_crop
from adapt.errors import UserError
from adapt.methods._base import Method

TOLERANCE = 1e-4  # of a probability
CROPS = 5  # of each photograph
DRAWINGS = 6  # of a pocket dataset
BATCHES = (1, 4)  # and then all that are left

Run = Callable[[UInt8[NDArray, "b 3 y x"]], Float[NDArray, "b c"]]  # from pixels to probabilities


def largest_difference(method: Method, run: Run, dataset: str) -> float:
    """The largest difference of a probability between a method and what was made of it.

    dataset: what the method was tuned on; a pocket dataset's images are looked at too.
    Raises: UserError where they differ by more than TOLERANCE.
    """
    pixels = images(method.task.backbone.image_size, dataset)
    parts = np.split(pixels, np.cumsum(BATCHES))
    expected = probabilities(method, torch.from_numpy(pixels)).numpy()
    found = np.concatenate([run(part) for part in parts])
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:  # NaN too
        raise UserError(
            f"export: the file and the model differ by {difference:.1e} in a probability on {len(pixels)} images, more "
            f"than {TOLERANCE:.0e}, so that nothing was written"
        )
    return difference


@torch.no_grad()
def probabilities(method: Method, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b c"]:
    """What the method itself says."""
    backbone: Backbone = method.task.backbone
    return method.classifier()(backbone.normalise(pixels)).softmax(dim=1).cpu()


def images(size: int, dataset: str) -> UInt8[NDArray, "n 3 y x"]:
    """Crops of scikit-learn's two photographs, and test images of a pocket dataset: `digits` for any other."""
    return np.stack([center_crop(image, size) for image in (*photographs(), *drawings(dataset))])


def photographs() -> Iterator[Image.Image]:
    """Square parts of the photographs, from the whole height down."""
    for pixels in load_sample_images().images:
        whole = Image.fromarray(pixels)
        for number in range(CROPS):
            edge = whole.height * (CROPS - number) // CROPS
            left, top = (whole.width - edge) * number // CROPS, (whole.height - edge) * number // CROPS
            yield whole.crop((left, top, left + edge, top + edge))


def drawings(name: str) -> Iterator[Image.Image]:
    """Images of a pocket dataset from all over its test split."""
    try:
        data: Dataset = builtin.load(name)
    except UserError:  # another dataset, or the package that it comes from is not there
        data = builtin.load("digits")
    for number in range(DRAWINGS):
        yield data.test.image(number * len(data.test) // DRAWINGS)
