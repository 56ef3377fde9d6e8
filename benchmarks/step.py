"""One tuning step against the plain one, on ViT-B/16 with random weights: ratio, rate and memory.

    python -m benchmarks.step [classes ...]

Plain (tests/plain.py): 77 positions a class, nothing shared, prompts as tokens of the residual stream, the teacher
asked anew. Both sides take the same batch in the same process, in turn, so that a drift of the machine hits both, and
give the same loss (asserted first). The rate is the counted FLOPs of the library's own step, forward and backward, over
its time; beside it the rate of a bare matrix product of the same run. Above 100 classes the plain step does not fit in
memory: it takes the classes in parts, with a second forward pass beside the first and the backward pass, so a third
of its time is taken off; and only `adapt` is compared there, since one plain step takes minutes.
"""

import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from adapt.data.batches import Batch
from benchmarks import rig
from tests import plain

METHODS = ("adapt", "promptsrc", "coop")
CLASSES = (10, 100, 1000)
PART = 100  # classes at a time where the plain step does not fit


def plain_step(method: Any, batch: Batch, count: int) -> Callable[[], Tensor]:
    """The plain loss and its gradient."""

    def step() -> Tensor:
        method.zero_grad()
        loss = plain.losses(method, batch) if count <= PART else plain.losses_in_parts(method, batch, PART)
        loss.backward()
        return loss.detach()

    return step


def own_step(method: Any, batch: Batch) -> Callable[[], Tensor]:
    """A step as `fit` makes it, less its bookkeeping."""
    optimiser = torch.optim.SGD(method.parameters(), lr=1e-6, momentum=0.9)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = method.losses(batch)[0]
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def compare(name: str, count: int, repeats: int) -> dict[str, Any]:
    """The ratio of both steps and the rates of the library's."""
    task = rig.make_task(count)
    method, batch = rig.make_method(name, task), rig.make_batch(task)
    reference, ours = plain_step(method, batch, count), own_step(method, batch)
    with FlopCounterMode(display=False) as counter:
        expected = method.losses(batch)[0]
        expected.backward()
    fair, mine, ratios, rates = 1 if count <= PART else 2 / 3, [], [], []
    for number in range(repeats):
        taken: list[Tensor] = []
        theirs = rig.seconds(lambda taken=taken: taken.append(reference()))
        if number == 0:
            torch.testing.assert_close(taken[0], expected.detach(), rtol=1e-5, atol=1e-5)
        times = [rig.seconds(ours) for _ in range(3)]
        mine += times
        rates.append(rig.gemm_rate())
        ratios.append(theirs * fair / statistics.median(times))
    rate = counter.get_total_flops() / statistics.median(mine)
    return {
        "method": name, "classes": count, "ratio": round(statistics.median(ratios), 2),
        "seconds": round(statistics.median(mine), 3), "gflop": round(counter.get_total_flops() / 1e9, 1),
        "rate_over_gemm": round(rate / statistics.median(rates), 2),
    }  # fmt: skip


def alone(name: str, count: int) -> float:
    """Peak memory in GB of a process that does nothing but the library's step."""
    task = rig.make_task(count)
    step = own_step(rig.make_method(name, task), rig.make_batch(task))
    step()
    step()
    return rig.peak()


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or list(CLASSES)
    print(f"{torch.get_num_threads()} threads, {rig.BACKBONE}, random weights, batch {rig.BATCH}")
    rows = []
    for count in counts:
        for name in METHODS if count <= PART else METHODS[:1]:
            row = rig.apart(compare, name, count, 3 if count < PART else 1)
            rows.append(row | {"memory_gb": round(rig.apart(alone, name, count), 2)})
            print(rows[-1], flush=True)
    rig.record("step", rows)


if __name__ == "__main__":
    main()
