"""A stage's work for every seed: side by side, on CPU cores or on one GPU."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import torch

from adapt.clip import compiling
from adapt.clip.backbone import Backbone, choose_device
from adapt.config import RuntimeConfig
from adapt.errors import UserError
from adapt.pipeline import stage
from adapt.runtime import platforms, workers

T = TypeVar("T")

# Bytes of GPU memory that a seed takes for each class and for each weight of the backbone, activations and CUDA's own
# among them: no step of any method in reports/launches.csv takes more.
PER_CLASS, PER_WEIGHT = 8e6, 28
FORKED = "forked subprocess"  # in torch's message where CUDA has started before the fork


def for_each_seed(
    work: Callable[[Backbone, int], T], seeds: Iterable[int], runtime: RuntimeConfig, backbone: Backbone, classes: int
) -> list[T]:
    """`work(backbone, seed)` for every seed, in order, with the backbone on the device that `runtime` names.

    On a CPU `runtime.parallel_seeds` at a time, on a GPU `runtime.per_gpu` or as many as its memory holds. A process on
    a GPU has to start before CUDA does, so here the backbone is still on the CPU, and nothing asks CUDA.
    """
    seeds, device = list(seeds), torch.device(choose_device(runtime.device))
    setting = "runtime.parallel_seeds" if device.type == "cpu" else "runtime.per_gpu"
    processes = min(len(seeds), runtime.parallel_seeds if device.type == "cpu" else runtime.per_gpu)
    if processes > 1 and not platforms.can_fork():
        stage.log(
            f"seeds run one after another, since macOS may crash a fork; {platforms.FORK}=yes runs them side by side"
        )
    if device.type == "cuda" and not torch.cuda.is_initialized():  # else no process can be forked for a GPU any more
        gpu = workers.apart(lambda: look(backbone, device))
        if gpu is None:
            stage.log("seeds run one after another: NVML cannot count the GPUs, so that torch has started CUDA for it")
            processes, gpu = 1, look(backbone, device)
        assert gpu is not None, "this process is no fork"
        processes, backbone = fit(processes, gpu, backbone, classes)
    elif device.type == "cuda":
        processes = 1

    def run(seed: int) -> T:
        return work(move(backbone, device, processes), seed)

    return list(workers.run(run, seeds, processes=processes, setting=setting))


def move(backbone: Backbone, device: torch.device, processes: int) -> Backbone:
    """The backbone on a device that so many processes share.

    Raises: UserError where others have its memory, or have it to themselves.
    """
    try:
        return backbone.to(device)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        hint = "lower runtime.per_gpu, or set it to 1" if processes > 1 else "choose another, or wait until it is free"
        raise UserError(f"params.yaml: runtime.device: the GPU does not take the backbone ({reason}); {hint}") from None


class Gpu(NamedTuple):
    """What a process of its own finds out about a GPU."""

    free: int  # bytes
    remark: str | None  # on the precision
    obstacle: str | None  # to compiling, where that is asked for


def look(backbone: Backbone, device: torch.device) -> Gpu | None:
    """Start CUDA and look; None where this process is a fork of one in which CUDA has started.

    Raises: UserError for a GPU that torch cannot use.
    """
    try:
        free = torch.cuda.mem_get_info(device)[0]
        return Gpu(
            free, replace(backbone, device=device).remark, (backbone.compile and compiling.why_not(device)) or None
        )
    except RuntimeError as error:
        if FORKED in str(error):
            return None
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"params.yaml: runtime.device: torch cannot use the GPU ({reason}); set it to cpu") from None


def fit(processes: int, gpu: Gpu, backbone: Backbone, classes: int) -> tuple[int, Backbone]:
    """How many of so many processes a GPU's free memory holds, at least one, and the backbone as it can run there."""
    if gpu.remark:
        stage.log(f"params.yaml: runtime.precision: {gpu.remark}")
    if gpu.obstacle:
        stage.log(
            f"params.yaml: runtime.compile: nothing can be compiled here ({gpu.obstacle}); blocks run as they are"
        )
    taken = need(sum(weight.numel() for weight in backbone.model.parameters()), classes)
    fitting = max(1, int(gpu.free / taken))
    if fitting < processes:
        stage.log(
            f"{fitting} of {processes} seeds side by side: the GPU has {gpu.free / 1e9:.1f} GB free, and one takes "
            f"about {taken / 1e9:.1f} GB"
        )
    return min(processes, fitting), replace(backbone, compile=backbone.compile and not gpu.obstacle)


def need(weights: int, classes: int) -> float:
    """Bytes of GPU memory that a seed takes at most, on a backbone of so many weights; a rule of thumb."""
    return PER_CLASS * classes + PER_WEIGHT * weights
