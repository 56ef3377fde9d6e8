"""Fit a method to a few-shot task."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from adapt import methods
from adapt.clip.backbone import Backbone
from adapt.clip.oom import retry_with_smaller_text_batch
from adapt.config import AdamWConfig, AugmentConfig, Config, SGDConfig
from adapt.data.loader import FewShotLoader
from adapt.methods._base import Method
from adapt.runtime import platforms
from adapt.runtime.checkpoint import Checkpoint
from adapt.task import FewShotTask
from adapt.training import flops, optimizers
from adapt.training.graphs import CudaRecorder
from adapt.training.trainer import Measure, Row, TrainLog, train


class FitResult(NamedTuple):
    """What one seed ends with."""

    tensors: dict[str, Tensor]
    lengths: list[dict[str, Any]]
    log: TrainLog
    memory: int  # peak, in bytes: of this fit on the device where that is a GPU, else of the process
    flops: int  # of the last step, forward and backward, by count
    budget: int | None  # tokens that it was to end with

    @property
    def tokens(self) -> int:
        """Tokens that it ended with."""
        return sum(row["length"] for row in self.lengths)

    def remark(self) -> str | None:
        """That it did not end with the budget, where that is so."""
        if self.budget in (None, self.tokens):
            return None
        return (
            f"not the budget, prune.target: {self.budget}, since prune.warmup leaves no step to prune after; lower it "
            "or train for more epochs"
        )

    def recording_remark(self) -> str | None:
        """That its steps could not be recorded, where that is so."""
        if self.log.not_recorded is None:
            return None
        return (
            f"training steps were not replayed as CUDA graphs ({self.log.not_recorded}): they took longer, with the "
            "same results; set cuda_graphs (in the params runtime.cuda_graphs) to false to do without"
        )


def fit(
    name: str,
    task: FewShotTask,
    loaders: Mapping[str, FewShotLoader],
    config: Config,
    *,
    shots: int,
    store: Checkpoint | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
    cuda_graphs: bool = True,
    measure: Measure | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> FitResult:
    """Run a method on one seed of a task; where memory runs out, go on from the last epoch with fewer classes at once.

    loaders: `train` and `val`; cuda_graphs: on a GPU, record a step and replay it (see adapt/training/graphs.py).
    measure, on_epoch: as `train`; what goes on from no checkpoint tells of the first epoch again.
    Raises: UserError and Interrupted as `train`.
    """
    optimizer = getattr(config, "optimizer", None)

    def run(backbone: Backbone) -> FitResult:
        if backbone.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(backbone.device)
        method = methods.build(name, replace(task, backbone=backbone), dict(config))
        start = time.perf_counter()
        method.on_fit_start(loaders["train"], loaders["val"])
        prepared, log = time.perf_counter() - start, TrainLog()
        if optimizer:
            steps = optimizers.num_steps(optimizer, len(loaders["train"]), shots)
            recorder = CudaRecorder(backbone.device) if cuda_graphs and backbone.device.type == "cuda" else None
            log = train(
                method, loaders["train"], optimizer, steps=steps, store=store, progress=progress, recorder=recorder,
                measure=measure, on_epoch=on_epoch,
            )  # fmt: skip
        log.seconds += prepared
        lengths = [
            {"branch": branch, "layer": layer, "length": length}
            for branch, counts in method.lengths().items()
            for layer, length in enumerate(counts)
        ]
        tensors, memory, budget = method.to_tensors(), peak_memory(backbone.device), method.budget()
        counted = count_flops(method, loaders["train"]) if optimizer else 0
        return FitResult(tensors, lengths, log, memory, counted, budget)

    return retry_with_smaller_text_batch(run, task.backbone, len(task.classes))


def make_loaders(
    backbone: Backbone,
    images: Mapping[str, Sequence[UInt8[Tensor, "3 y x"]]],
    labels: Mapping[str, Sequence[int]],
    features: Mapping[str, Tensor],
    *,
    seed: int,
    optimizer: SGDConfig | AdamWConfig | None,
    augment: AugmentConfig,
) -> dict[str, FewShotLoader]:
    """Loaders by split of few-shot images, numbered through the splits in their order.

    features: the teacher's, as `teacher_features.of_images` gives them.
    optimizer: says how many images are a batch; None for a method that takes them as a whole.
    """
    loaders, offset = {}, 0
    for split, pixels in images.items():
        loaders[split] = FewShotLoader(
            images=list(pixels),
            labels=torch.tensor(labels[split]),
            view_features=features[f"{split}.views"],
            eval_features=features[f"{split}.frozen"],
            normalise=backbone.normalise,
            seed=seed,
            batch_size=optimizer.batch_size if optimizer else 1,
            drop_last=optimizer is None or optimizer.drop_last,
            image_size=backbone.image_size,
            index_offset=offset,
            device=backbone.device,
            **augment.model_dump(),
        )
        offset += len(pixels)
    return loaders


def peak_memory(device: torch.device) -> int:
    """The most bytes held: on a GPU since its count was set back, else ever by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return platforms.peak_memory()


def count_flops(method: Method, loader: FewShotLoader) -> int:
    """FLOPs of a step as the method now is: matrix products, convolutions and attention, forward and backward.

    The optimizer's own are not counted. The method must not be used after it: gradients are left, generators moved.
    """
    with flops.counter() as counter:
        loss = method.losses(loader.batch(0, 0))[0]
        if loss.requires_grad:
            loss.backward()
    return counter.get_total_flops()
