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
    """The result of one seed."""

    tensors: dict[str, Tensor]
    lengths: list[dict[str, Any]]
    log: TrainLog
    memory: int  # peak in bytes: of this fit on a GPU, else of the process
    flops: int  # counted FLOPs of the last step, forward and backward
    budget: int | None  # tokens to end with; None without a budget

    @property
    def tokens(self) -> int:
        """Final number of tokens."""
        return sum(row["length"] for row in self.lengths)

    def remark(self) -> str | None:
        """Return a warning if the final number of tokens is not the budget, else None."""
        if self.budget in (None, self.tokens):
            return None
        return (
            f"not the budget, prune.target: {self.budget}, since prune.warmup leaves no step for pruning; lower it "
            "or train for more epochs"
        )

    def recording_remark(self) -> str | None:
        """Return a warning if the steps could not be recorded, else None."""
        if self.log.not_recorded is None:
            return None
        return (
            f"training steps were not replayed as CUDA graphs ({self.log.not_recorded}): they took longer, with the "
            "same results; set cuda_graphs (params: runtime.cuda_graphs) to false to skip the attempt"
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
    """Run a method on one seed of a task.

    If memory runs out, training resumes from the last checkpoint with fewer classes encoded at once.
    loaders: `train` and `val`; cuda_graphs: on a GPU, record a step and replay it (see adapt/training/graphs.py).
    measure, on_epoch: as for `train`. Without a checkpoint, training restarts and reports the first epochs again.
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
    """Build a loader for each split of few-shot images.

    The images are numbered through the splits in their order.
    features: the teacher's, as `teacher_features.of_images` returns them.
    optimizer: gives the batch size; None for a method that uses all images at once.
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
    """Return the peak memory in bytes: of a GPU since its reset, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return platforms.peak_memory()


def count_flops(method: Method, loader: FewShotLoader) -> int:
    """Count the FLOPs of a step in the method's current state, forward and backward.

    Matrix products, convolutions and attention count; the optimizer's own FLOPs do not. The method must not be used
    afterwards, since gradients remain and random generators have advanced.
    """
    with flops.counter() as counter:
        loss = method.losses(loader.batch(0, 0))[0]
        if loss.requires_grad:
            loss.backward()
    return counter.get_total_flops()
