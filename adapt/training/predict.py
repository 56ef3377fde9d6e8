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
    """Tensors that are not those of this method under this config."""


@runtime_checkable
class Images(Protocol):
    """Decoded images of which a slice is taken at a time: a tensor, an array, or what maps a file into memory."""

    def __len__(self) -> int:
        """Their number n."""
        ...

    def __getitem__(self, part: slice, /) -> UInt8[Tensor, "b 3 y x"] | UInt8[NDArray, "b 3 y x"]:
        """Some of them, at the backbone's resolution."""
        ...


def restore(name: str, task: FewShotTask, config: Config, tensors: Mapping[str, Tensor]) -> Method:
    """The fitted method that `FitResult.tensors` are of.

    Raises: TensorMismatch for tensors of something else.
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
    """The predictions of a fitted method, and how many numbers it has learned; memory as in `fit`.

    Raises: TensorMismatch as `restore`.
    """

    def run(backbone: Backbone) -> tuple[list[int], int]:
        method = restore(name, replace(task, backbone=backbone), config, tensors)
        return predict(method, images, batch_size=batch_size, store=store), method.num_trainable()

    return retry_with_smaller_text_batch(run, task.backbone, len(task.classes))


def reader(images: Images, device: torch.device) -> Callable[[slice], UInt8[Tensor, "b 3 y x"]]:
    """What reads a slice of the images; beside a GPU the next one meanwhile, in memory that it copies from."""

    def read(part: slice) -> Tensor:
        return devices.pin(torch.as_tensor(images[part]), device)

    return ahead.Reader(read, len(images)) if device.type == "cuda" else read


@torch.no_grad()
def accuracy_under_way(method: Method, loader: FewShotLoader) -> float:
    """The share of a loader's images, seen as evaluation sees them, that a method gets right while it is tuned.

    Nothing is drawn, and the method is left as it was.
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
    """The logits of every image on the CPU, from `method.classifier()`."""
    backbone, fitting = method.task.backbone, AdaptiveBatch(batch_size)
    read = reader(images, backbone.device)
    parts = fitting.each(lambda part: classify(backbone.normalise(read(part))).cpu(), range(len(images)))
    return torch.cat(parts)


@torch.no_grad()
def predict(method: Method, images: Images, *, batch_size: int, store: Checkpoint | None = None) -> list[int]:
    """The most likely class of every image; those that are done are kept in the store."""
    backbone, classify, fitting = method.task.backbone, method.classifier(), AdaptiveBatch(batch_size)
    read = reader(images, backbone.device)

    def choose(part: slice) -> Tensor:
        return classify(backbone.normalise(read(part))).argmax(dim=1).cpu()

    def classes(number: int) -> Tensor:
        return torch.cat(fitting.each(choose, range(len(images))[number * batch_size : (number + 1) * batch_size]))

    return torch.cat(map_resumable(store, math.ceil(len(images) / batch_size), classes)).tolist()
