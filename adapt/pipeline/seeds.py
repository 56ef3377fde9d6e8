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

PER_CLASS = 2e6  # bytes of GPU memory that a class takes while tuning; measured on ViT-B/16: 1.4 MB
PER_WEIGHT = 16  # and a weight of the backbone: itself, activations, CUDA's own; measured on ViT-B/16: half


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
        processes, backbone = fit(processes, gpu, backbone, classes)
    elif device.type == "cuda":
        processes = 1
    return list(workers.run(lambda seed: work(backbone.to(device), seed), seeds, processes=processes, setting=setting))


class Gpu(NamedTuple):
    """What a process of its own finds out about a GPU."""

    free: int  # bytes
    remark: str | None  # on the precision
    obstacle: str | None  # to compiling, where that is asked for


def look(backbone: Backbone, device: torch.device) -> Gpu:
    """Start CUDA and look.

    Raises: UserError for a GPU that torch cannot use.
    """
    try:
        free = torch.cuda.mem_get_info(device)[0]
        return Gpu(
            free, replace(backbone, device=device).remark, (backbone.compile and compiling.why_not(device)) or None
        )
    except RuntimeError as error:
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
    need = PER_CLASS * classes + PER_WEIGHT * sum(weight.numel() for weight in backbone.model.parameters())
    fitting = max(1, int(gpu.free / need))
    if fitting < processes:
        stage.log(
            f"{fitting} of {processes} seeds side by side: the GPU has {gpu.free / 1e9:.1f} GB free, and one takes "
            f"about {need / 1e9:.1f} GB"
        )
    return min(processes, fitting), replace(backbone, compile=backbone.compile and not gpu.obstacle)
