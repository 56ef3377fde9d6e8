"""When tokens are pruned, which ones, and how they leave prompts and optimizer.

Reported: no pruning in the first epochs, then every few steps the lowest-scored tokens go, under one budget over both
branches and all layers, until the target is reached.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from adapt.prompts import BRANCHES, Prompts
from adapt.runtime import devices


@dataclass(frozen=True)
class Schedule:
    """From epoch `warmup` (counted from 0) on, `count` tokens every `every` steps, until `target` are left."""

    warmup: int
    every: int
    count: int
    target: int

    def num_to_prune(self, step: int, epoch: int, remaining: int) -> int:
        """How many tokens to remove after step number `step` (from 1, over all epochs) when `remaining` are there."""
        if epoch < self.warmup or step % self.every:
            return 0
        return max(0, min(self.count, remaining - self.target))

    def reaching(self, remaining: int, *, per_epoch: int, steps: int) -> "Schedule":
        """The schedule that has brought `remaining` tokens down to the target by the last of so many steps (ours).

        Where it comes to that by itself, it is as it was. Else each pruning takes more tokens; only where no pruning
        would come after the warm-up at all, the interval is shortened to one that brings one. It stays as it is where
        the warm-up leaves no step: then the target cannot be reached.
        """
        first = self.warmup * per_epoch
        if remaining <= self.target or first >= steps:
            return self
        times = steps // self.every - first // self.every
        count = max(self.count, math.ceil((remaining - self.target) / max(times, 1)))
        return replace(self, count=count, every=self.every if times else steps - first)


class PrunedToken(NamedTuple):
    """One removed token; the columns of trace.csv but the step."""

    branch: str
    layer: int
    token: int
    score: float


def lowest(scores: Float[Tensor, " n"], count: int) -> Int[Tensor, " k"]:
    """The indices of the `count` lowest scores, ties by index."""
    return scores.argsort(stable=True)[:count]


def remove(
    prompts: Prompts, optimizer: torch.optim.Optimizer, indices: Int[Tensor, " k"], scores: Float[Tensor, " n"]
) -> Iterator[PrunedToken]:
    """Take tokens out of the prompts and out of the optimizer's state; yields what went, lowest score first.

    indices: into all tokens, text before image, as `scores`.
    """
    start = 0
    removed = []
    for branch in BRANCHES:
        slots = prompts.slots[branch]
        mine = indices[(indices >= start) & (indices < start + len(slots))]
        for index in mine.tolist():
            layer, token = slots[index - start].tolist()
            removed.append(PrunedToken(branch, layer, token, float(scores[index])))
        kept = torch.ones(len(slots), dtype=torch.bool)
        kept[mine - start] = False
        keep = kept.nonzero().flatten()
        start += len(slots)
        prompts.slots[branch] = slots[keep]
        prompts.tokens[branch] = keep_rows(optimizer, prompts.tokens[branch], keep)
    yield from sorted(removed, key=lambda removal: removal.score)


def keep_rows(optimizer: torch.optim.Optimizer, old: nn.Parameter, keep: Int[Tensor, " k"]) -> nn.Parameter:
    """A parameter with the rows `keep` of `old`, in its place in the optimizer, with those rows of its state."""
    keep = devices.send(keep, old.device)
    new = nn.Parameter(old.detach()[keep])
    for group in optimizer.param_groups:
        group["params"] = [new if param is old else param for param in group["params"]]
    if old in optimizer.state:
        state = optimizer.state.pop(old)
        optimizer.state[new] = {
            key: value[keep] if isinstance(value, Tensor) and value.shape == old.shape else value
            for key, value in state.items()
        }
    return new
