"""Run a stage's work for every seed in parallel, on CPU cores or one GPU."""

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

# Bytes of GPU memory per class and per weight of the backbone that a seed takes, including activations and CUDA's own
# memory. No step of any method in reports/launches.csv takes more.
PER_CLASS, PER_WEIGHT = 8e6, 28
FORKED = "forked subprocess"  # in torch's message where CUDA has started before the fork


def for_each_seed(
    work: Callable[[Backbone, int], T], seeds: Iterable[int], runtime: RuntimeConfig, backbone: Backbone, classes: int
) -> list[T]:
    """Return `work(backbone, seed)` for every seed, in order.

    The backbone is moved to the device that `runtime` names. `runtime.parallel_seeds` processes run at a time on a CPU.
    On a GPU `runtime.per_gpu` run, or as many as fit into its memory. A process has to be forked before CUDA starts, so
    here the backbone is still on the CPU, and nothing calls CUDA.
    """
    seeds, device = list(seeds), torch.device(choose_device(runtime.device))
    setting = "runtime.parallel_seeds" if device.type == "cpu" else "runtime.per_gpu"
    processes = min(len(seeds), runtime.parallel_seeds if device.type == "cpu" else runtime.per_gpu)
    if processes > 1 and not platforms.can_fork():
        stage.log(
            f"seeds run one after another, since macOS may crash a fork; {platforms.FORK}=yes runs them side by side"
        )
    # once CUDA is initialised, no process that uses the GPU can be forked
    if device.type == "cuda" and not torch.cuda.is_initialized():
        gpu = workers.apart(lambda: look(backbone, device))
        if gpu is None:
            stage.log("seeds run one after another: NVML cannot count the GPUs, so torch had to start CUDA for that")
            processes, gpu = 1, look(backbone, device)
        assert gpu is not None, "this process is no fork"
        processes, backbone = fit(processes, gpu, backbone, classes)
    elif device.type == "cuda":
        processes = 1

    def run(seed: int) -> T:
        return work(move(backbone, device, processes), seed)

    return list(workers.run(run, seeds, processes=processes, setting=setting))


def move(backbone: Backbone, device: torch.device, processes: int) -> Backbone:
    """Return the backbone on a device that `processes` processes share.

    Raises: UserError if other processes occupy the GPU's memory, or hold the GPU exclusively.
    """
    try:
        return backbone.to(device)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        hint = "lower runtime.per_gpu, or set it to 1" if processes > 1 else "choose another, or wait until it is free"
        raise UserError(
            f"params.yaml: runtime.device: the backbone cannot be moved to the GPU ({reason}); {hint}"
        ) from None


class Gpu(NamedTuple):
    """Facts about a GPU, found out in a separate process."""

    free: int  # bytes
    remark: str | None  # about the precision
    obstacle: str | None  # to compiling, if that is asked for


def look(backbone: Backbone, device: torch.device) -> Gpu | None:
    """Start CUDA and return facts about the GPU.

    Return None if this process was forked after CUDA had started.

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
    """Return how many of the processes fit into the GPU's memory, at least one.

    Also return the backbone as it can run there.
    """
    if gpu.remark:
        stage.log(f"params.yaml: runtime.precision: {gpu.remark}")
    if gpu.obstacle:
        stage.log(f"params.yaml: runtime.compile: nothing can be compiled here ({gpu.obstacle}); blocks run uncompiled")
    taken = need(sum(weight.numel() for weight in backbone.model.parameters()), classes)
    fitting = max(1, int(gpu.free / taken))
    if fitting < processes:
        stage.log(
            f"{fitting} of {processes} seeds side by side: the GPU has {gpu.free / 1e9:.1f} GB free, and a seed takes "
            f"about {taken / 1e9:.1f} GB"
        )
    return min(processes, fitting), replace(backbone, compile=backbone.compile and not gpu.obstacle)


def need(weights: int, classes: int) -> float:
    """Estimate the most GPU memory that a seed takes, in bytes: a rule of thumb.

    weights: the backbone's number of weights
    """
    return PER_CLASS * classes + PER_WEIGHT * weights
