"""Token pruning: the schedule, the selection, and the removal of tokens.

Reported: no pruning in the first epochs. Then, every few steps, the lowest-scored tokens are removed until the target
is reached. One budget covers both branches and all layers.
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
    """Prune `count` tokens every `every` steps until `target` are left.

    Pruning starts in epoch `warmup`, counted from 0.
    """

    warmup: int
    every: int
    count: int
    target: int

    def num_to_prune(self, step: int, epoch: int, remaining: int) -> int:
        """Return how many of the `remaining` tokens to prune after a step.

        step: counted from 1, over all epochs.
        """
        if epoch < self.warmup or step % self.every:
            return 0
        return max(0, min(self.count, remaining - self.target))

    def reaching(self, remaining: int, *, per_epoch: int, steps: int) -> "Schedule":
        """Return a schedule that prunes `remaining` tokens to the target in `steps` steps.

        Ours. A schedule that reaches the target anyway is unchanged. Otherwise each pruning removes more tokens. The
        interval is shortened only if no pruning at all would follow the warm-up; it then allows exactly one. If the
        warm-up leaves no step, the target cannot be reached and the schedule is unchanged.
        """
        first = self.warmup * per_epoch
        if remaining <= self.target or first >= steps:
            return self
        times = steps // self.every - first // self.every
        count = max(self.count, math.ceil((remaining - self.target) / max(times, 1)))
        return replace(self, count=count, every=self.every if times else steps - first)


class PrunedToken(NamedTuple):
    """A removed token: the last four columns of trace.csv."""

    branch: str
    layer: int
    token: int
    score: float


def lowest(scores: Float[Tensor, " n"], count: int) -> Int[Tensor, " k"]:
    """Return the indices of the `count` lowest scores; ties are broken by index."""
    return scores.argsort(stable=True)[:count]


def remove(
    prompts: Prompts, optimizer: torch.optim.Optimizer, indices: Int[Tensor, " k"], scores: Float[Tensor, " n"]
) -> Iterator[PrunedToken]:
    """Remove tokens from the prompts and from the optimizer's state.

    indices: into all tokens, text before image, as for `scores`.
    Yields: the removed tokens, lowest score first.
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
    """Return a parameter with the rows `keep` of `old`, and put it in the optimizer.

    It replaces `old` there and keeps the same rows of its state.
    """
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
