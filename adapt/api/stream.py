"""Classify any number of images, batch by batch, on all cores."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from adapt.api.model import Model
from adapt.errors import UserError
from adapt.runtime import ahead
from adapt.training import numerics

T = TypeVar("T")

BATCH_SIZE = 32  # images at a time; results do not depend on it


class Answer(NamedTuple, Generic[T]):
    """A model's prediction for an image."""

    image: T
    probabilities: Float[Tensor, " c"] | None  # None if the image cannot be read
    problem: str = ""  # why it cannot be read


def stream(
    model: Model, images: Iterable[T], read: Callable[[T], NDArray[np.uint8]], *, batch_size: int = BATCH_SIZE
) -> Iterator[Answer[T]]:
    """Yield the answers in the order of the images, which are taken only as needed.

    On a CPU every core decodes and classifies a batch with one thread, as evaluation does, so that the numbers are the
    same. With a GPU some threads decode ahead. While the iterator is open, PyTorch has one thread.

    Args:
        model: the model.
        images: the images, in any form that `read` takes.
        read: returns the crop [3, size, size] of an image; raises UserError if it cannot be read.
        batch_size: images at a time.
    """

    def classify(batch: list[T]) -> list[Answer[T]]:
        answers, pixels = [], []
        for image in batch:
            try:
                pixels.append(read(image))
                answers.append(Answer(image, None))
            except UserError as error:
                answers.append(Answer(image, None, str(error)))
        if pixels:
            rows = iter(model.logits_of(np.stack(pixels), batch_size).softmax(dim=1))
            answers = [answer if answer.problem else answer._replace(probabilities=next(rows)) for answer in answers]
        return answers

    left = iter(images)
    batches = iter(lambda: list(islice(left, batch_size)), [])
    with numerics.fixed(model.clip):
        _ = model.classify  # build it once, before the threads use it
        threads = ahead.THREADS if model.clip.device.type == "cuda" else os.cpu_count() or 1
        for answers in ahead.run(classify, batches, threads):
            yield from answers
