"""One tuning step against the plain one, on ViT-B/16 with random weights: ratio, rate and memory.

    python -m benchmarks.step [classes ...]

Plain (tests/plain.py): 77 positions a class, nothing shared, prompts as tokens of the residual stream, the teacher
asked anew, open_clip's activation, the C library's allocator as it comes. Both sides take the same batch in the same
process, in turn, so that a drift of the machine hits both. At each turn a first step is not timed: it takes memory that
the other side did not need. The figures are medians. The losses of both sides are asserted to be the same. The rate is
the counted FLOPs of the library's own step, forward and backward, with what a mask removes and rows are padded with,
over its time; beside it the rate of a bare matrix product of the same run.

Above 100 classes the plain step does not fit in memory. Its text side costs the same for every 100 classes, whatever
they are called: it is the step with 100 classes, and as often as there are 100 more, their texts forward and backward,
which is timed once; there the features are what is asserted to be the same.
"""

import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adapt.data.loader import Batch
from adapt.training import flops
from benchmarks import rig
from tests import plain

METHODS = ("adapt", "promptsrc", "coop")
CLASSES = (10, 100, 1000)
PART = 100  # the most classes that the plain step has memory for
ROUNDS = {10: 3}  # else one
OWN = 3  # steps of the library that a round times; the plain one is slow and times one


def plain_step(few: Any, batch: Batch, more: int) -> tuple[float, Tensor]:
    """The time of the plain step with the classes of `few`, at most PART, and so many more; and what it came to.

    That is the loss or, where there are more classes, the features of the few.
    """

    def step() -> Tensor:
        few.zero_grad()
        loss = plain.losses(few, batch)
        loss.backward()
        return loss.detach()

    def texts() -> Tensor:
        few.zero_grad()
        features = plain.text_features(few)
        features.sum().backward()
        return features.detach()

    with rig.allocator_as_it_comes():
        second, loss = rig.warm(step)
        if not more:
            return second, loss
        again, features = rig.timed(texts)
    return second + more / PART * again, F.normalize(features, dim=-1)


def own_step(method: Any, batch: Batch) -> Callable[[], Tensor]:
    """A step as `fit` makes it, less its bookkeeping."""
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0, momentum=0.9)  # the same work, and both sides stay alike

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = method.losses(batch)[0]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def compare(name: str, count: int) -> dict[str, Any]:
    """The ratio of both steps, and the library's rates and peak memory, which is taken before the plain side's."""
    task = rig.make_task(count)
    method, batch = rig.make_method(name, task), rig.make_batch(task)
    ours = own_step(method, batch)
    with flops.counter() as counter:
        ours()
    counted, memory = counter.get_total_flops(), rig.peak()
    few = method if count <= PART else rig.make_method(name, rig.make_task(PART))
    more = count - len(few.task.classes)
    mine, theirs = [], []
    for _ in range(ROUNDS.get(count, 1)):
        known = ours()
        mine += [rig.seconds(ours) for _ in range(OWN)]
        if more:
            with torch.no_grad():
                known = method.text_features()[:PART]
        second, found = plain_step(few, batch, more)
        theirs.append(second)
        torch.testing.assert_close(known, found, rtol=1e-5, atol=1e-5)
    second = statistics.median(mine)
    return {
        "method": name, "classes": count, "class_tokens": sum(task.text.lengths),
        "ratio": round(statistics.median(theirs) / second, 2), "seconds": round(second, 3),
        "gflop": round(counted / 1e9, 1), "memory_gb": round(memory, 2),
        "rate_over_gemm": round(counted / second / rig.gemm_rate(), 2),
    }  # fmt: skip


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or list(CLASSES)
    print(f"{torch.get_num_threads()} threads, {rig.BACKBONE}, random weights, batch {rig.BATCH}")
    rig.run("step", (rig.apart(compare, name, count) for count in counts for name in METHODS))


if __name__ == "__main__":
    main()
