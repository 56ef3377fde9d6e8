"""A tuning step against the plain one, on ViT-B/16 with random weights.

    python -m benchmarks.step [classes ...]

The plain step (tests/plain.py) has 77 positions per class, shares nothing between classes, treats prompts as tokens of
the residual stream, runs the teacher in each step, and uses open_clip's activation and the C library's default
allocator. Both sides process the same batch in the same process, in turn, so that a drift of the machine affects both.
At each turn the first step is not timed, since it allocates memory that the other side did not need. The figures are
medians. The losses of both sides are asserted to be equal. The rate is the FLOPs counted for the library's own step,
forward and backward, including masked and padded positions, over its time. It is given relative to the rate of a bare
matrix product in the same run.

Above 100 classes the plain step does not fit in memory. Its text side costs the same for every 100 classes, whatever
their names. So its time is that of a step with 100 classes, plus the time of their texts, forward and backward, for
every further 100; the texts are timed once. In this case the features are asserted to be equal.
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
OWN = 3  # steps of the library timed per round; of the slow plain step only one is timed


def plain_step(few: Any, batch: Batch, more: int) -> tuple[float, Tensor]:
    """Return the time of the plain step, and its result.

    Args:
        few: the method with at most PART classes.
        batch: the batch.
        more: the number of further classes, whose time is extrapolated.

    Returns:
        The time, and the loss or, if there are more classes, the features of the few.
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
    """Return a step as in `fit`, without its bookkeeping."""
    optimizer = torch.optim.SGD(
        method.parameters(), lr=0.0, momentum=0.9
    )  # the same work, but both sides keep the same parameters

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = method.losses(batch)[0]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def compare(name: str, count: int) -> dict[str, Any]:
    """Return the ratio of both steps, and the library's rate and peak memory.

    The peak memory is measured before the plain side runs.
    """
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
