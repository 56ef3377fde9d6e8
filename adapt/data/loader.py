"""Training batches of one seed.

Which images a batch holds, in which views and in which order, is a pure function of seed and epoch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import to_pil_image as to_image

from adapt.data import augment
from adapt.data.dataset import center_crop
from adapt.runtime import devices


@dataclass(frozen=True)
class Batch:
    """Images, labels, and the frozen model's normalised features of these views.

    The images are cut on first access: a method that does not run the image tower never accesses them.
    """

    cut: Callable[[], Float[Tensor, "b 3 y x"]]
    labels: Int[Tensor, " b"]
    teacher: Float[Tensor, "b f"]
    prepare: Callable[[], Any] = lambda: None  # the part of `cut` that needs no GPU and may run earlier, in a thread

    @cached_property
    def images(self) -> Float[Tensor, "b 3 y x"]:
        """The images as the model takes them."""
        return self.cut()


@dataclass(frozen=True)
class FewShotLoader:
    """Batches of few-shot images: call it with an epoch (from 0).

    Every epoch shows each image once, in view `epoch mod v`. With `drop_last` the last batch is dropped unless it is
    full or the only one (Dassl's convention).
    """

    images: list[UInt8[Tensor, "3 y x"]]  # decoded once and kept
    labels: Int[Tensor, " n"]
    view_features: Float[Tensor, "n v f"]  # the frozen model's features of the views, not normalised
    eval_features: Float[Tensor, "n f"]  # likewise of the images as evaluation sees them
    normalise: Callable[[UInt8[Tensor, "b 3 y x"]], Float[Tensor, "b 3 y x"]]
    seed: int
    batch_size: int
    image_size: int
    crop_scale: list[float]
    horizontal_flip: bool
    index_offset: int  # number of the first image; train and val images do not share numbers
    device: torch.device  # where batches end up; views are cut on the CPU
    drop_last: bool = True

    def __len__(self) -> int:
        """Return the number of steps per epoch."""
        if not self.drop_last:
            return math.ceil(len(self.images) / self.batch_size)
        return max(1, len(self.images) // self.batch_size)

    def __call__(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Return the batches of an epoch, from number `first` on."""
        return (self.batch(epoch, step) for step in range(first, len(self)))

    def batch(self, epoch: int, step: int) -> Batch:
        """Return batch number `step` of an epoch."""
        number = epoch % self.view_features.shape[1]
        chosen = self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        keys = [(self.seed, self.index_offset + i, number) for i in chosen]
        images, size = [self.images[i] for i in chosen], self.image_size
        settings = {"crop_scale": self.crop_scale, "horizontal_flip": self.horizontal_flip}
        cut = partial(augment.augmented_batch, images, keys, size=size, **settings)
        return self.make(chosen, cut, self.view_features[chosen, number])

    def eval_batch(self, number: int, size: int) -> Batch:
        """Return a batch of `size` images as evaluation sees them.

        number: the batch's number, from 0 without end; each pass over the images has its own order
        """
        epoch, step = divmod(number, math.ceil(len(self.images) / size))
        chosen = self.order(epoch)[step * size : (step + 1) * size]

        def cut() -> UInt8[Tensor, "b 3 y x"]:
            images = [center_crop(to_image(self.images[i]), self.image_size) for i in chosen]
            return torch.from_numpy(np.stack(images))

        return self.make(chosen, cut, self.eval_features[chosen])

    def order(self, epoch: int) -> list[int]:
        """Return the numbers of all images in the order of an epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.images)).tolist()

    def make(self, chosen: list[int], cut: Callable[[], Tensor], features: Float[Tensor, "b f"]) -> Batch:
        """Make the batch of the chosen images.

        cut: returns their pixels
        features: the frozen model's features of them, not normalised
        """
        pixels = cache(lambda: devices.pin(cut(), self.device))
        labels, teacher = (
            devices.send(values, self.device) for values in (self.labels[chosen], F.normalize(features, dim=-1))
        )
        return Batch(lambda: self.normalise(pixels()), labels, teacher, pixels)
