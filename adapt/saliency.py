"""Saliency of prompt tokens: how much each is worth keeping, summed over the steps between two prunings.

Stated in ADAPT's abstract: a saliency criterion of network pruning. Reported by reviews of an earlier version: SNIP.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.prompts import BRANCHES, Prompts


class Evidence(NamedTuple):
    """What one step tells about the n tokens of a branch."""

    tokens: Float[Tensor, "n d"]
    gradient: Float[Tensor, "n d"]  # of the loss, by the tokens
    gate_gradient: Float[Tensor, " n"] | None  # of the loss, by the gates; only where the criterion asks for it
    generator: torch.Generator


def snip(step: Evidence) -> Float[Tensor, " n"]:
    """|Σ_d P·∂L/∂P|, connection sensitivity (SNIP, Lee et al. 2019) of a whole token.

    P reaches attention only through a layer norm, which is invariant to its scale, so this is nearly zero by
    construction: it ranks tokens by what is left of the scale's effect (docs/method.md).
    """
    return (step.tokens * step.gradient).sum(dim=-1).abs()


def gate(step: Evidence) -> Float[Tensor, " n"]:
    """|∂L/∂m| at m = 1 of a gate on the token's attention weight, m·exp(q·k).

    With m = exp(b) it is the gradient of an additive bias b = 0 on the token's key. Removal is m → 0, so this is the
    first-order effect of removing the token.
    """
    assert step.gate_gradient is not None
    return step.gate_gradient.abs()


def gradient(step: Evidence) -> Float[Tensor, " n"]:
    """‖∂L/∂P‖₂."""
    return step.gradient.norm(dim=-1)


def magnitude(step: Evidence) -> Float[Tensor, " n"]:
    """‖P‖₂."""
    return step.tokens.norm(dim=-1)


def random(step: Evidence) -> Float[Tensor, " n"]:
    """A seeded draw, the control for all others."""
    return torch.rand(len(step.tokens), generator=step.generator).to(step.tokens.device)


CRITERIA: dict[str, Callable[[Evidence], Tensor]] = {
    rule.__name__: rule for rule in (snip, gate, gradient, magnitude, random)
}


class Saliency:
    """The running scores of all tokens under one criterion.

    Use: pass `gates()` to the encoders, call `observe` after each backward pass and before the optimiser's step, read
    `scores`, then `reset` when tokens have been removed.
    """

    def __init__(self, prompts: Prompts, criterion: str, seed: int):
        self.prompts = prompts
        self.rule = CRITERIA[criterion]
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: scores are compared only within one interval between prunings."""
        tokens = self.prompts.tokens
        self.totals = {b: torch.zeros(len(tokens[b]), device=tokens[b].device) for b in BRANCHES}
        self.open_gates: dict[str, Tensor] = {}

    def gates(self) -> dict[str, Tensor | None]:
        """Per branch the additive key biases [n], all 0, through which the next step's gate gradients come."""
        if self.rule is not gate:
            return dict.fromkeys(BRANCHES)
        self.open_gates = {b: torch.zeros_like(total).requires_grad_() for b, total in self.totals.items()}
        return dict(self.open_gates)

    def observe(self, step: int) -> None:
        """Add one step's scores; the prompts' gradients have to be those of that step's loss."""
        for number, branch in enumerate(BRANCHES):
            tokens = self.prompts.tokens[branch]
            if not len(tokens):
                continue
            # the draw depends on seed and step alone, so that a resumed run repeats it
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 2 + number)
            gates = self.open_gates.get(branch)
            assert tokens.grad is not None
            self.totals[branch] += self.rule(
                Evidence(tokens.detach(), tokens.grad, None if gates is None else gates.grad, generator)
            )

    def scores(self) -> Float[Tensor, " n"]:
        """All tokens' scores, text before image, on the CPU."""
        return torch.cat([self.totals[branch].cpu() for branch in BRANCHES])
