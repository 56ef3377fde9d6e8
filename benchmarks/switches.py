"""The effect of switches that are off by default, on a step of `adapt`.

    python -m benchmarks.switches               # in float32; or: bfloat16

deterministic: `runtime.deterministic`. channels_last: the image tower's weights and the images in that memory format.
compile: the blocks, as with `runtime.compile` on a GPU; beside it the time of the first step, and of the first one
after a pruning. A step and the image tower alone are timed on this device, with and without a switch in turn, in one
process, on ViT-B/16 with random weights.
"""

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch

from adapt.clip import backbone
from adapt.data.loader import Batch
from adapt.task import FewShotTask
from adapt.training.numerics import enable_determinism
from benchmarks import rig
from benchmarks.step import own_step

CLASSES, ROUNDS = 10, 5


@contextmanager
def deterministic(task: FewShotTask, batch: Batch) -> Iterator[Batch]:
    """Switch on deterministic kernels, as `runtime.deterministic` does."""
    enable_determinism()
    yield batch
    torch.use_deterministic_algorithms(False)
    torch.backends.cuda.enable_mem_efficient_sdp(True)


@contextmanager
def channels_last(task: FewShotTask, batch: Batch) -> Iterator[Batch]:
    """Convert the image tower and its images to channels_last."""
    visual = task.backbone.model.visual
    visual.to(memory_format=torch.channels_last)
    yield replace(batch, cut=lambda: batch.images.contiguous(memory_format=torch.channels_last))
    visual.to(memory_format=torch.contiguous_format)


@contextmanager
def compiled(task: FewShotTask, batch: Batch) -> Iterator[Batch]:
    """Compile the blocks, as `runtime.compile` does on a GPU."""
    object.__setattr__(task.backbone, "compile", True)
    yield batch
    object.__setattr__(task.backbone, "compile", False)


SWITCHES: dict[str, Callable[[FewShotTask, Batch], AbstractContextManager[Batch]]] = {
    "deterministic": deterministic, "channels_last": channels_last, "compile": compiled,
}  # fmt: skip


def compare(name: str, precision: backbone.Precision) -> dict[str, Any]:
    """Return times with a switch over times without; above 1 the switch is slower."""
    task = rig.make_task(CLASSES, torch.device(backbone.choose_device("auto")), precision)
    method, usual = rig.make_method("adapt", task), rig.make_batch(task)

    def step(batch: Batch) -> float:
        return rig.seconds(lambda: own_step(method, batch)())

    @torch.no_grad()
    def see(batch: Batch) -> float:
        return rig.seconds(lambda: method.image_features(batch.images))

    def switched(work: Callable[[Batch], float]) -> float:
        with SWITCHES[name](task, usual) as batch:
            return work(batch)

    def ratio(work: Callable[[Batch], float]) -> float:
        rounds = [switched(work) / work(usual) for _ in range(ROUNDS + 1)]
        return round(statistics.median(rounds[1:]), 2)  # the first is a warm-up

    first = switched(step)
    row = {"switch": name, "device": rig.device(), "precision": precision, "step": ratio(step), "image": ratio(see)}
    if name == "compile":
        method.prune(2, torch.optim.SGD(method.parameters(), lr=0.0))
        row |= {"first": round(first), "pruned": round(switched(step))}
    return row


def table(recorded: dict[str, Any]) -> list[str]:
    """Return the recorded ratios in Markdown, as in docs/speed.md."""
    lines = [
        "| switch | on | step | image tower | first step, s | after a pruning, s |",
        "|---|---|---|---|---|---|",
    ]
    for row in recorded["rows"]:
        waited = " | ".join(str(row.get(what, "")) for what in ("first", "pruned"))
        on = f"{row['device']}, {row['precision']}"
        lines.append(f"| `{row['switch']}` | {on} | {row['step']:.2f} × | {row['image']:.2f} × | {waited} |")
    return lines


def main() -> None:
    precision: Any = sys.argv[1] if len(sys.argv) > 1 else "float32"
    print(f"{rig.BACKBONE}, {precision}, {rig.device()}, {CLASSES} classes, batch {rig.BATCH}")
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it once, and `deterministic` needs it
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # else a second run would reuse the first one's compilation
    rig.run("switches", (rig.apart(compare, name, precision) for name in SWITCHES))


if __name__ == "__main__":
    main()
