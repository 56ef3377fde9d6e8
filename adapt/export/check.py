"""Compare an exported model with the method itself, on real images."""

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
BATCHES = (1, 4)  # sizes of the first batches; the last batch takes the rest

Run = Callable[[UInt8[NDArray, "b 3 y x"]], Float[NDArray, "b c"]]  # from pixels to probabilities


def largest_difference(method: Method, run: Run, dataset: str) -> float:
    """Return the largest difference in a probability between method and export.

    Args:
        method: the fitted method.
        run: runs the exported model.
        dataset: the dataset that the method was tuned on; if it is a pocket dataset, its images are compared too.

    Raises:
        UserError: if a probability differs by more than TOLERANCE.
    """
    pixels = images(method.task.backbone.image_size, dataset)
    parts = np.split(pixels, np.cumsum(BATCHES))
    expected = probabilities(method, torch.from_numpy(pixels)).numpy()
    found = np.concatenate([run(part) for part in parts])
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:  # NaN too
        raise UserError(
            f"export: the file and the model differ by {difference:.1e} in a probability on {len(pixels)} images, more "
            f"than {TOLERANCE:.0e}; nothing was written"
        )
    return difference


@torch.no_grad()
def probabilities(method: Method, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b c"]:
    """Return the probabilities that the method itself gives."""
    backbone: Backbone = method.task.backbone
    return method.classifier()(backbone.normalise(pixels)).softmax(dim=1).cpu()


def images(size: int, dataset: str) -> UInt8[NDArray, "n 3 y x"]:
    """Return images to compare on.

    They are crops of scikit-learn's two photographs, and test images of a pocket dataset: of `digits` if the dataset is
    not one of the pocket's.
    """
    return np.stack([center_crop(image, size) for image in (*photographs(), *drawings(dataset))])


def photographs() -> Iterator[Image.Image]:
    """Yield square crops of the photographs, from the whole height down."""
    for pixels in load_sample_images().images:
        whole = Image.fromarray(pixels)
        for number in range(CROPS):
            edge = whole.height * (CROPS - number) // CROPS
            left, top = (whole.width - edge) * number // CROPS, (whole.height - edge) * number // CROPS
            yield whole.crop((left, top, left + edge, top + edge))


def drawings(name: str) -> Iterator[Image.Image]:
    """Yield images of a pocket dataset, spread over its test split."""
    try:
        data: Dataset = builtin.load(name)
    except UserError:  # not a pocket dataset, or its package is not installed
        data = builtin.load("digits")
    for number in range(DRAWINGS):
        yield data.test.image(number * len(data.test) // DRAWINGS)
