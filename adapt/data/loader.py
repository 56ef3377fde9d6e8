"""Training batches of one seed: which images, in which view, in which order, is a pure function of seed and epoch."""

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
    """Images, labels, and the frozen model's normalised features of these very views.

    The images are cut when they are first asked for: a method that leaves the image tower alone never asks.
    """

    cut: Callable[[], Float[Tensor, "b 3 y x"]]
    labels: Int[Tensor, " b"]
    teacher: Float[Tensor, "b f"]
    prepare: Callable[[], Any] = lambda: None  # the part of `cut` that needs no GPU and may be done before, in a thread

    @cached_property
    def images(self) -> Float[Tensor, "b 3 y x"]:
        """The images as the model takes them."""
        return self.cut()


@dataclass(frozen=True)
class FewShotLoader:
    """Call with an epoch (from 0) for its batches.

    Every epoch shows each image once, in view `epoch mod v`; with `drop_last` the last batch is dropped unless it is
    full or the only one (Dassl's convention).
    """

    images: list[UInt8[Tensor, "3 y x"]]  # decoded once and kept
    labels: Int[Tensor, " n"]
    view_features: Float[Tensor, "n v f"]  # the frozen model's features of the views, not normalised
    eval_features: Float[Tensor, "n f"]  # and of the images as evaluation sees them
    normalise: Callable[[UInt8[Tensor, "b 3 y x"]], Float[Tensor, "b 3 y x"]]
    seed: int
    batch_size: int
    image_size: int
    crop_scale: list[float]
    horizontal_flip: bool
    index_offset: int  # number of the first image: train and val images have numbers of their own
    device: torch.device  # where batches end up; views are cut on the CPU
    drop_last: bool = True

    def __len__(self) -> int:
        """Steps per epoch."""
        if not self.drop_last:
            return math.ceil(len(self.images) / self.batch_size)
        return max(1, len(self.images) // self.batch_size)

    def __call__(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from number `first` on."""
        return (self.batch(epoch, step) for step in range(first, len(self)))

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch number `step` of an epoch."""
        number = epoch % self.view_features.shape[1]
        chosen = self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        keys = [(self.seed, self.index_offset + i, number) for i in chosen]
        images, size = [self.images[i] for i in chosen], self.image_size
        settings = {"crop_scale": self.crop_scale, "horizontal_flip": self.horizontal_flip}
        cut = partial(augment.augmented_batch, images, keys, size=size, **settings)
        return self.make(chosen, cut, self.view_features[chosen, number])

    def eval_batch(self, number: int, size: int) -> Batch:
        """Batch number `number` (from 0, without end) of `size` images as evaluation sees them, in an order a round."""
        epoch, step = divmod(number, math.ceil(len(self.images) / size))
        chosen = self.order(epoch)[step * size : (step + 1) * size]

        def cut() -> UInt8[Tensor, "b 3 y x"]:
            images = [center_crop(to_image(self.images[i]), self.image_size) for i in chosen]
            return torch.from_numpy(np.stack(images))

        return self.make(chosen, cut, self.eval_features[chosen])

    def order(self, epoch: int) -> list[int]:
        """The numbers of all images in the order of an epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.images)).tolist()

    def make(self, chosen: list[int], cut: Callable[[], Tensor], features: Float[Tensor, "b f"]) -> Batch:
        """The batch of some images: what cuts their pixels, their labels, and the frozen model's features."""
        pixels = cache(lambda: devices.pin(cut(), self.device))
        labels, teacher = (
            devices.send(values, self.device) for values in (self.labels[chosen], F.normalize(features, dim=-1))
        )
        return Batch(lambda: self.normalise(pixels()), labels, teacher, pixels)
