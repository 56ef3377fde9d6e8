"""One tuning step against the plain one, on ViT-B/16 with random weights: ratio, rate and memory.

    python -m benchmarks.step [classes ...]

Plain (tests/plain.py): 77 positions a class, nothing shared, prompts as tokens of the residual stream, the teacher
asked anew. Both sides take the same batch in the same process, in turn, so that a drift of the machine hits both, and
give the same loss (asserted first). The rate is the counted FLOPs of the library's own step, forward and backward, over
its time; beside it the rate of a bare matrix product of the same run. Above 100 classes the plain step does not fit in
memory: it takes the classes in parts, with a second forward pass beside the first and the backward pass, so a third
of its time is taken off.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from adapt import clip, methods, params, settings
from adapt.data.batches import Batch
from adapt.encoders import encode_image
from adapt.task import Task
from tests import plain

METHODS = ("adapt", "promptsrc", "coop")
CLASSES = (10, 100, 1000)
BATCH = 4
BACKBONE = "ViT-B-16-quickgelu"
WORDS = ["spotted", "tall", "quick", "old", "grey", "red", "new", "small", "wild", "round"]
PART = 100  # classes at a time where the plain step does not fit


def make_task(count: int) -> Task:
    """A task of so many classes, whose names have one to five tokens more than `thing`."""
    torch.manual_seed(0)
    backbone = clip.freeze(BACKBONE, open_clip.create_model(BACKBONE, pretrained=None), torch.device("cpu"))
    names = [" ".join([*WORDS[: i % 4], WORDS[i % 10], "thing", str(i)][-5:]) for i in range(count)]
    return Task(backbone, "a photo of a {}.", names, F.normalize(torch.randn(count, 512), dim=-1), seed=1)


def make_method(name: str, task: Task) -> Any:
    """A method with the paper preset's settings."""
    from ruamel.yaml import YAML

    paper = params.Params(**YAML(typ="safe").load(params.compose(["preset=paper"])))
    sections = {part: getattr(paper, part) for part in ("context", "prune", "distill", "optimiser")}
    settled = settings.settle(name, "caltech101", 16, BACKBONE, paper.knobs, sections)
    return methods.build(name, task, dict(settled))


def make_batch(task: Task) -> Batch:
    """Random images with what the frozen model says of them."""
    images = torch.randn(BATCH, 3, 224, 224)
    with torch.no_grad():
        teacher = F.normalize(encode_image(task.backbone.model, images), dim=-1)
    return Batch(images, torch.arange(BATCH), teacher)


def seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def gemm_rate() -> float:
    """FLOPs a second of a matrix product of a step's size, the best of some."""
    a, b = torch.randn(1024, 768), torch.randn(768, 3072)
    return 2 * 1024 * 768 * 3072 / min(seconds(lambda: a @ b) for _ in range(30))


def plain_step(method: Any, batch: Batch, count: int) -> Callable[[], Tensor]:
    """The plain loss and its gradient."""

    def step() -> Tensor:
        method.zero_grad()
        loss = plain.losses(method, batch) if count <= PART else plain.losses_in_parts(method, batch, PART)
        loss.backward()
        return loss.detach()

    return step


def compare(name: str, count: int, repeats: int) -> dict[str, Any]:
    """The ratio of both steps and the rates of the library's."""
    task = make_task(count)
    method, batch = make_method(name, task), make_batch(task)
    optimiser = torch.optim.SGD(method.parameters(), lr=1e-3, momentum=0.9)

    def ours() -> Tensor:
        optimiser.zero_grad()
        loss = method.losses(batch)[0]
        loss.backward()
        return loss.detach()

    reference = plain_step(method, batch, count)
    torch.testing.assert_close(ours(), reference(), rtol=1e-5, atol=1e-5)
    with FlopCounterMode(display=False) as counter:
        ours()
    fair = 1 if count <= PART else 2 / 3
    mine, ratios, rates = [], [], []
    for _ in range(repeats):
        times = [seconds(ours) for _ in range(3)]
        mine += times
        rates.append(gemm_rate())
        ratios.append(seconds(reference) * fair / statistics.median(times))
    rate = counter.get_total_flops() / statistics.median(mine)
    return {
        "method": name,
        "classes": count,
        "ratio": round(statistics.median(ratios), 2),
        "seconds": round(statistics.median(mine), 3),
        "gflop": round(counter.get_total_flops() / 1e9, 1),
        "rate_over_gemm": round(rate / statistics.median(rates), 2),
    }


def alone(name: str, count: int) -> float:
    """Peak memory in GB of a process that does nothing but the library's step."""
    task = make_task(count)
    method, batch = make_method(name, task), make_batch(task)
    for _ in range(2):
        method.losses(batch)[0].backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or list(CLASSES)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {BACKBONE}, random weights, batch {BATCH}")
    context = multiprocessing.get_context("spawn")
    for count in counts:
        for name in METHODS:
            with context.Pool(1) as pool:  # a process each: memory is given back
                row = pool.apply(compare, (name, count, 3 if count <= 10 else 1))
            with context.Pool(1) as pool:
                row["memory_gb"] = round(pool.apply(alone, (name, count)), 2)
            print(row, flush=True)


if __name__ == "__main__":
    main()
