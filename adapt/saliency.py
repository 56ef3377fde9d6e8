"""Saliency of prompt tokens: how much each is worth keeping, summed over the steps between two prunings.

Stated in ADAPT's abstract: a saliency criterion of network pruning. Reported by reviews of an earlier version: SNIP.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.prompts import BRANCHES, Prompts
from adapt.runtime import devices


class CriterionInputs(NamedTuple):
    """What one step tells about the n tokens of a branch."""

    tokens: Float[Tensor, "n d"]
    gradient: Float[Tensor, "n d"]  # of the loss, by the tokens
    gate_gradient: Float[Tensor, " n"] | None  # of the loss, by the gates; only where the criterion asks for it
    generator: torch.Generator


def snip(step: CriterionInputs) -> Float[Tensor, " n"]:
    """|Σ_d P·∂L/∂P|, connection sensitivity (SNIP, Lee et al. 2019) of a whole token.

    P reaches attention only through a layer norm, which is invariant to its scale, so this is nearly zero by
    construction: it ranks tokens by what is left of the scale's effect (docs/method.md).
    """
    return (step.tokens * step.gradient).sum(dim=-1).abs()


def gate(step: CriterionInputs) -> Float[Tensor, " n"]:
    """|∂L/∂m| at m = 1 of a gate on the token's attention weight, m·exp(q·k).

    With m = exp(b) it is the gradient of an additive bias b = 0 on the token's key. Removal is m → 0, so this is the
    first-order effect of removing the token.
    """
    assert step.gate_gradient is not None
    return step.gate_gradient.abs()


def gradient(step: CriterionInputs) -> Float[Tensor, " n"]:
    """‖∂L/∂P‖₂."""
    return step.gradient.norm(dim=-1)


def magnitude(step: CriterionInputs) -> Float[Tensor, " n"]:
    """‖P‖₂."""
    return step.tokens.norm(dim=-1)


def random(step: CriterionInputs) -> Float[Tensor, " n"]:
    """A seeded draw, the control for all others."""
    return devices.send(torch.rand(len(step.tokens), generator=step.generator), step.tokens.device)


CRITERIA: dict[str, Callable[[CriterionInputs], Tensor]] = {
    rule.__name__: rule for rule in (snip, gate, gradient, magnitude, random)
}


class Gradient(NamedTuple):
    """A loss's gradient by the tokens of a branch and, where they are open, by their gates."""

    tokens: Float[Tensor, "n d"]
    gates: Float[Tensor, " n"] | None


class Saliency:
    """The running scores of all tokens under one criterion.

    Use: pass `gates(branch)` to the encoders; after each backward pass `accumulate` the `gradients()`, or those of
    another loss by `gradients_of`; read `scores`, then `reset` when tokens have been removed.
    """

    def __init__(self, prompts: Prompts, criterion: str, seed: int):
        self.prompts = prompts
        self.criterion = CRITERIA[criterion]
        self.seed = seed
        self.open_gates: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: scores are compared only within one interval between prunings."""
        tokens = self.prompts.tokens
        for b in BRANCHES:
            if b in self.totals and len(self.totals[b]) == len(tokens[b]):
                self.totals[b].zero_()  # in place: a recorded step goes on adding to it
            else:
                self.totals[b] = torch.zeros(len(tokens[b]), device=tokens[b].device)

    def gates(self, branch: str) -> Float[Tensor, " n"] | None:
        """The additive key biases, all 0, through which the next step's gate gradients come."""
        if self.criterion is not gate:
            return None
        self.open_gates[branch] = torch.zeros_like(self.totals[branch]).requires_grad_()
        return self.open_gates[branch]

    def leaves(self) -> dict[str, list[Tensor]]:
        """Tokens and, where open, gates of the branches that have tokens."""
        tokens = self.prompts.tokens
        gates = {b: [self.open_gates[b]] if b in self.open_gates else [] for b in BRANCHES}
        return {b: [tokens[b], *gates[b]] for b in BRANCHES if len(tokens[b])}

    def gradients(self) -> dict[str, Gradient]:
        """What the backward pass has left."""
        return {branch: _gradient([leaf.grad for leaf in leaves]) for branch, leaves in self.leaves().items()}

    def gradients_of(self, loss: Float[Tensor, ""]) -> dict[str, Gradient]:
        """The gradients of another loss; those that the optimizer will use stay."""
        leaves = self.leaves()
        flat = iter(torch.autograd.grad(loss, [leaf for group in leaves.values() for leaf in group]))
        return {branch: _gradient([next(flat) for _ in group]) for branch, group in leaves.items()}

    def accumulate(self, step: int, gradients: Mapping[str, Gradient]) -> None:
        """Add one step's scores."""
        for branch, gradient in gradients.items():
            # the draw depends on seed and step alone, so that a resumed run repeats it
            draw = (self.seed * 1_000_003 + step) * 2 + BRANCHES.index(branch)
            generator = torch.Generator().manual_seed(draw)
            self.totals[branch] += self.criterion(
                CriterionInputs(self.prompts.tokens[branch].detach(), *gradient, generator)
            )

    def scores(self) -> Float[Tensor, " n"]:
        """All tokens' scores, text before image, on the CPU."""
        return torch.cat([self.totals[branch] for branch in BRANCHES]).cpu()


def _gradient(parts: list[Tensor | None]) -> Gradient:
    tokens, *gates = parts
    assert tokens is not None
    return Gradient(tokens, gates[0] if gates else None)
