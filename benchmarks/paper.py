"""The cost of the paper preset: disk, optimizer steps, time and memory.

    python -m benchmarks.paper                      # 10, 100 and 1000 classes; on a CPU the last takes minutes
    python -m benchmarks.paper 10,100 bfloat16      # other numbers of classes, another precision

A step's time, the rate of evaluation and the memory are measured on this device. The backbone is the preset's with
random weights: its speed does not depend on them, and nothing is downloaded. Hours and FLOPs are computed for `adapt`
alone: steps times the cost of a step, interpolated linearly between the measured numbers of classes, plus test images.
Other methods take the numbers of steps listed, each at a cost of its own.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from adapt.clip import backbone, model_configs
from adapt.data.specs import dataset_specs
from adapt.download.sources import download_specs
from adapt.download.status import GIB, download
from adapt.pipeline import method_configs, params
from adapt.runtime import yaml
from adapt.settings.composition import compose
from adapt.training import flops, optimizers
from adapt.training.fit import peak_memory
from benchmarks import rig
from benchmarks.step import own_step

CLASSES = (10, 100, 1000)
STEPS = 5  # timed, after an untimed one
IMAGES = {"cpu": 32, "cuda": 256}  # per batch of evaluation


class Cost(NamedTuple):
    """The measured cost for a number of classes."""

    classes: int
    step: float  # seconds
    rate: float  # test images a second
    memory: int  # peak memory in bytes: of the GPU, else of a process that did nothing else
    step_flops: float = 0.0
    image_flops: float = 0.0  # per test image


def preset() -> params.Params:
    """Return the paper's params."""
    return params.Params(**yaml.parse(compose(["preset=paper"])))


def steps(paper: params.Params, method: str, dataset: str) -> int:
    """Return the optimizer steps of one seed, in the last phase.

    None of a method that is not tuned by steps.
    """
    section = getattr(method_configs.of_params(paper, method, dataset), "optimizer", None)
    if section is None:
        return 0
    batches = dataset_specs()[dataset].classes * paper.shots / section.batch_size
    per_epoch = max(1, math.floor(batches)) if section.drop_last else math.ceil(batches)
    return optimizers.num_steps(section, per_epoch, paper.shots)


def measure(count: int, precision: backbone.Precision) -> Cost:
    """Time `adapt`'s steps at its full length, and its evaluation."""
    device = torch.device(backbone.choose_device("auto"))
    task = rig.make_task(count, device, precision)
    method = rig.make_method("adapt", task)
    step = own_step(method, rig.make_batch(task))
    with flops.counter() as stepping:
        step()
    second = rig.median(step, STEPS)
    many = torch.randn(IMAGES[device.type], 3, 224, 224, device=device)
    with torch.no_grad():
        classify = (
            method.eval().requires_grad_(False).classifier()
        )  # the FLOP counter hooks into tensors that require gradients
        with flops.counter() as seeing:
            classify(many)
        rate = len(many) / rig.median(lambda: classify(many), STEPS)
    counts = stepping.get_total_flops(), seeing.get_total_flops() / len(many)
    return Cost(count, second, rate, peak_memory(device), *counts)


def total(
    paper: params.Params, costs: Sequence[Cost], step: Callable[[Cost], float], image: Callable[[Cost], float]
) -> float:
    """Sum a cost of `adapt` over all datasets and seeds.

    `step` and `image` give the cost of a step and of a test image.
    """
    found = 0.0
    for dataset in paper.datasets:
        entry = dataset_specs()[dataset]
        each_step, each_image = (
            float(np.interp(entry.classes, [cost.classes for cost in costs], list(map(price, costs))))
            for price in (step, image)
        )
        found += len(paper.seeds) * (steps(paper, "adapt", dataset) * each_step + entry.sizes.test * each_image)
    return found


def hours(paper: params.Params, costs: Sequence[Cost]) -> float:
    """Return the hours of `adapt` on all datasets and seeds, tuning and evaluation."""
    return total(paper, costs, lambda cost: cost.step, lambda cost: 1 / cost.rate) / 3600


def exaflop(paper: params.Params, costs: Sequence[Cost]) -> float:
    """Return the FLOPs of `adapt` on all datasets and seeds, in 10¹⁸."""
    return total(paper, costs, lambda cost: cost.step_flops, lambda cost: cost.image_flops) / 1e18


def packed(paper: params.Params, dataset: str) -> float:
    """Return the GiB of a dataset's packed test images."""
    return dataset_specs()[dataset].sizes.test * 3 * model_configs.image_size(paper.backbone.name) ** 2 / GIB


def table(recorded: dict[str, Any]) -> list[str]:
    """Return the recorded costs in Markdown, as in docs/paper.md."""
    *costs, whole = recorded["rows"]
    lines = ["| classes | step | GFLOP per step | images/s | peak memory |", "|---|---|---|---|---|"]
    for row in costs:
        cells = f"{row['step']:.2f} s | {row['step_gflop']:.0f} | {row['rate']:.1f} | {row['memory_gb']:.2f} GB"
        lines.append(f"| {row['classes']} | {cells} |")
    told = f"{whole['exaflop']:.1f} · 10¹⁸ FLOPs, {whole['hours']:.0f} hours at the speeds above"
    return [*lines, "", f"All eleven datasets, three seeds, tuning and evaluation of `adapt`: {told}."]


def say_sizes(paper: params.Params) -> None:
    """Print downloads, packed test images and steps by dataset, then steps by method."""
    print("dataset          classes  test images   download   packed GiB  steps of adapt per seed")
    whole = 0.0
    for dataset in paper.datasets:
        entry = dataset_specs()[dataset]
        room = packed(paper, dataset)
        whole += room
        got = download(download_specs()[dataset])
        count = steps(paper, "adapt", dataset)
        print(f"{dataset:16s} {entry.classes:7d} {entry.sizes.test:12,d} {got:>10s} {room:12.2f} {count:24,d}")
    print(f"packed in all: {whole:.1f} GiB; DVC's cache holds it once more, unless it links (docs/paper.md)\n")
    print("steps over all datasets, one seed (searching phases not counted)")
    for method in paper.methods:
        print(f"  {method:14s} {sum(steps(paper, method, dataset) for dataset in paper.datasets):9,d}")


def main() -> None:
    counts = [int(count) for count in sys.argv[1].split(",")] if len(sys.argv) > 1 else CLASSES
    precision: Any = sys.argv[2] if len(sys.argv) > 2 else "float32"
    paper = preset()
    say_sizes(paper)
    where = rig.device()
    print(f"\n{paper.backbone.name}, {precision}, torch {torch.__version__}, {where}; adapt at its full length")
    print("classes  step ms  evaluation images/s  peak memory GB")
    costs = []
    for count in counts:
        cost = rig.apart(measure, count, precision)
        costs.append(cost)
        print(f"{count:7d} {cost.step * 1e3:8.0f} {cost.rate:20.1f} {cost.memory / 1e9:15.2f}", flush=True)
    least, most = (bound(dataset_specs()[name].classes for name in paper.datasets) for bound in (min, max))
    if min(counts) > least or max(counts) < most:
        print(f"no hours: they need measurements from {least} to {most} classes")
        return
    whole = {"hours": round(hours(paper, costs), 1), "exaflop": round(exaflop(paper, costs), 2)}
    runs = f"{len(paper.datasets)} datasets, {len(paper.seeds)} seeds"
    print(f"adapt, {runs}: {whole['exaflop']} · 10¹⁸ FLOPs, {whole['hours']} hours by this")
    rows = [
        {"classes": cost.classes, "step": round(cost.step, 3), "step_gflop": round(cost.step_flops / 1e9, 1),
         "rate": round(cost.rate, 2), "memory_gb": round(cost.memory / 1e9, 2)}
        for cost in costs
    ]  # fmt: skip
    rig.record("paper", [*rows, {"device": where, "precision": precision, **whole}])


if __name__ == "__main__":
    main()
