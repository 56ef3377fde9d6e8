"""Predict with a fitted method."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from adapt import methods
from adapt.clip.backbone import Backbone
from adapt.clip.oom import AdaptiveBatch, retry_with_smaller_text_batch
from adapt.config import Config
from adapt.data.loader import FewShotLoader
from adapt.methods._base import Classifier, Method
from adapt.runtime import ahead, devices
from adapt.runtime.checkpoint import Checkpoint, map_resumable
from adapt.task import FewShotTask


class TensorMismatch(Exception):
    """The tensors do not belong to this method with this config."""


@runtime_checkable
class Images(Protocol):
    """Decoded images, read by slices: a tensor, an array, or a memory-mapped file."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, part: slice, /) -> UInt8[Tensor, "b 3 y x"] | UInt8[NDArray, "b 3 y x"]:
        """Return a slice of the images, at the backbone's resolution."""
        ...


def restore(name: str, task: FewShotTask, config: Config, tensors: Mapping[str, Tensor]) -> Method:
    """Rebuild a fitted method from `FitResult.tensors`.

    Raises: TensorMismatch for tensors of another method or config.
    """
    method = methods.build(name, task, dict(config))
    try:
        method.load_tensors(tensors)
    except (RuntimeError, KeyError) as error:
        raise TensorMismatch(" ".join(str(error).split())[:200]) from None
    return method.eval()


def score(
    name: str,
    task: FewShotTask,
    config: Config,
    tensors: Mapping[str, Tensor],
    images: Images,
    *,
    batch_size: int,
    store: Checkpoint | None = None,
) -> tuple[list[int], int]:
    """Return a fitted method's predictions and its number of trainable parameters.

    If memory runs out, fewer classes are encoded at once, as in `fit`.
    Raises: TensorMismatch as `restore`.
    """

    def run(backbone: Backbone) -> tuple[list[int], int]:
        method = restore(name, replace(task, backbone=backbone), config, tensors)
        return predict(method, images, batch_size=batch_size, store=store), method.num_trainable()

    return retry_with_smaller_text_batch(run, task.backbone, len(task.classes))


def reader(images: Images, device: torch.device) -> Callable[[slice], UInt8[Tensor, "b 3 y x"]]:
    """Return a function that reads a slice of the images.

    For a GPU, it reads the next slice meanwhile, into pinned memory.
    """

    def read(part: slice) -> Tensor:
        return devices.pin(torch.as_tensor(images[part]), device)

    return ahead.Reader(read, len(images)) if device.type == "cuda" else read


@torch.no_grad()
def accuracy_under_way(method: Method, loader: FewShotLoader) -> float:
    """Return a method's accuracy on a loader's images while it is being tuned.

    The images are as evaluation sees them. No random numbers are drawn, and the method is left unchanged.
    """
    training, correct = method.training, 0
    method.eval()
    try:
        classify = method.classifier()
        for number in range(math.ceil(len(loader.images) / loader.batch_size)):
            batch = loader.eval_batch(number, loader.batch_size)
            correct += int((classify(batch.images).argmax(dim=1) == batch.labels).sum())
    finally:
        method.train(training)
    return correct / len(loader.images)


@torch.no_grad()
def logits(method: Method, classify: Classifier, images: Images, *, batch_size: int) -> Float[Tensor, "n c"]:
    """Return the logits of every image on the CPU; `classify`: `method.classifier()`."""
    backbone, fitting = method.task.backbone, AdaptiveBatch(batch_size)
    read = reader(images, backbone.device)
    parts = fitting.each(lambda part: classify(backbone.normalise(read(part))).cpu(), range(len(images)))
    return torch.cat(parts)


@torch.no_grad()
def predict(method: Method, images: Images, *, batch_size: int, store: Checkpoint | None = None) -> list[int]:
    """Return the most likely class of every image; the store keeps finished batches."""
    backbone, classify, fitting = method.task.backbone, method.classifier(), AdaptiveBatch(batch_size)
    read = reader(images, backbone.device)

    def choose(part: slice) -> Tensor:
        return classify(backbone.normalise(read(part))).argmax(dim=1).cpu()

    def classes(number: int) -> Tensor:
        return torch.cat(fitting.each(choose, range(len(images))[number * batch_size : (number + 1) * batch_size]))

    return torch.cat(map_resumable(store, math.ceil(len(images) / batch_size), classes)).tolist()
