"""Training batches of one seed: which images, in which view, in which order, is a pure function of seed and epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from adapt.data import views


class Batch(NamedTuple):
    """Images as the model takes them, labels, and the frozen model's normalised features of these very views."""

    images: Float[Tensor, "b 3 y x"]
    labels: Int[Tensor, " b"]
    teacher: Float[Tensor, "b f"]


@dataclass(frozen=True)
class Batches:
    """Call with an epoch (from 0) for its batches.

    Every epoch shows each image once, in view `epoch mod v`; the last batch is dropped unless it is full or the only
    one (Dassl's convention).
    """

    images: list[UInt8[Tensor, "3 y x"]]
    labels: Int[Tensor, " n"]
    teacher: Float[Tensor, "n v f"]
    normalise: Callable[[UInt8[Tensor, "b 3 y x"]], Float[Tensor, "b 3 y x"]]
    seed: int
    batch: int
    size: int
    scale: list[float]
    flip: bool

    def __len__(self) -> int:
        """Steps per epoch."""
        return max(1, len(self.images) // self.batch)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        number = epoch % self.teacher.shape[1]
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images)).tolist()
        for step in range(len(self)):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels = views.stack(
                [self.images[i] for i in chosen],
                [(self.seed, i, number) for i in chosen],
                size=self.size,
                scale=self.scale,
                flip=self.flip,
            )
            where = torch.tensor(chosen)
            images = self.normalise(pixels)
            device = images.device
            yield Batch(images, self.labels[where].to(device), self.teacher[where, number].to(device))
