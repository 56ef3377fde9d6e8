"""Saliency scores of prompt tokens, summed over the steps between two prunings.

A higher score means that the token is more worth keeping. Stated in ADAPT's abstract: a saliency criterion of network
pruning. Reported by reviews of an earlier version: SNIP.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.prompts import BRANCHES, Prompts
from adapt.runtime import devices


class CriterionInputs(NamedTuple):
    """The inputs of a criterion for the n tokens of a branch, from one step."""

    tokens: Float[Tensor, "n d"]
    gradient: Float[Tensor, "n d"]  # of the loss with respect to the tokens
    gate_gradient: Float[Tensor, " n"] | None  # of the loss with respect to the gates; only if the criterion needs it
    generator: torch.Generator


def snip(step: CriterionInputs) -> Float[Tensor, " n"]:
    """Return |Σ_d P·∂L/∂P|, the connection sensitivity of a whole token.

    SNIP, Lee et al. 2019. P reaches attention only through a layer norm, which is invariant to its input's scale. So
    the score is almost zero by construction, and it ranks tokens by the residual effect of the scale (docs/method.md).
    """
    return (step.tokens * step.gradient).sum(dim=-1).abs()


def gate(step: CriterionInputs) -> Float[Tensor, " n"]:
    """Return |∂L/∂m| at m = 1 of a gate m on the token's attention weight, m·exp(q·k).

    With m = exp(b), it is the gradient of an additive bias b = 0 on the token's key. Removing the token means m → 0, so
    this is the first-order effect of the removal.
    """
    assert step.gate_gradient is not None
    return step.gate_gradient.abs()


def gradient(step: CriterionInputs) -> Float[Tensor, " n"]:
    """Return ‖∂L/∂P‖₂."""
    return step.gradient.norm(dim=-1)


def magnitude(step: CriterionInputs) -> Float[Tensor, " n"]:
    """Return ‖P‖₂."""
    return step.tokens.norm(dim=-1)


def random(step: CriterionInputs) -> Float[Tensor, " n"]:
    """Return seeded random scores, the control for all other criteria."""
    return devices.send(torch.rand(len(step.tokens), generator=step.generator), step.tokens.device)


CRITERIA: dict[str, Callable[[CriterionInputs], Tensor]] = {
    rule.__name__: rule for rule in (snip, gate, gradient, magnitude, random)
}


class Gradient(NamedTuple):
    """The gradient of a loss with respect to a branch's tokens and open gates."""

    tokens: Float[Tensor, "n d"]
    gates: Float[Tensor, " n"] | None


class Saliency:
    """The running scores of all tokens under one criterion.

    Pass `gates(branch)` to the encoders. After each backward pass, `accumulate` the `gradients()`, or those of another
    loss from `gradients_of`. Read `scores`, and call `reset` after removing tokens.
    """

    def __init__(self, prompts: Prompts, criterion: str, seed: int):
        self.prompts = prompts
        self.criterion = CRITERIA[criterion]
        self.seed = seed
        self.open_gates: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Set all scores to 0: only scores between the same two prunings are compared."""
        tokens = self.prompts.tokens
        for b in BRANCHES:
            if b in self.totals and len(self.totals[b]) == len(tokens[b]):
                self.totals[b].zero_()  # in place, since a recorded step keeps adding to this tensor
            else:
                self.totals[b] = torch.zeros(len(tokens[b]), device=tokens[b].device)

    def gates(self, branch: str) -> Float[Tensor, " n"] | None:
        """Return zero key biases whose gradients are the next step's gate gradients.

        None for every criterion but `gate`.
        """
        if self.criterion is not gate:
            return None
        self.open_gates[branch] = torch.zeros_like(self.totals[branch]).requires_grad_()
        return self.open_gates[branch]

    def leaves(self) -> dict[str, list[Tensor]]:
        """Return the tokens and the open gates of each branch that has tokens."""
        tokens = self.prompts.tokens
        gates = {b: [self.open_gates[b]] if b in self.open_gates else [] for b in BRANCHES}
        return {b: [tokens[b], *gates[b]] for b in BRANCHES if len(tokens[b])}

    def gradients(self) -> dict[str, Gradient]:
        """Return the gradients that the backward pass has left in the leaves."""
        return {branch: _gradient([leaf.grad for leaf in leaves]) for branch, leaves in self.leaves().items()}

    def gradients_of(self, loss: Float[Tensor, ""]) -> dict[str, Gradient]:
        """Return the gradients of another loss; the optimizer's stay unchanged."""
        leaves = self.leaves()
        flat = iter(torch.autograd.grad(loss, [leaf for group in leaves.values() for leaf in group]))
        return {branch: _gradient([next(flat) for _ in group]) for branch, group in leaves.items()}

    def accumulate(self, step: int, gradients: Mapping[str, Gradient]) -> None:
        """Add the scores of one step."""
        for branch, gradient in gradients.items():
            # the random draw depends on seed and step alone, so that a resumed run repeats it
            draw = (self.seed * 1_000_003 + step) * 2 + BRANCHES.index(branch)
            generator = torch.Generator().manual_seed(draw)
            self.totals[branch] += self.criterion(
                CriterionInputs(self.prompts.tokens[branch].detach(), *gradient, generator)
            )

    def scores(self) -> Float[Tensor, " n"]:
        """Return the scores of all tokens, text before image, on the CPU."""
        return torch.cat([self.totals[branch] for branch in BRANCHES]).cpu()


def _gradient(parts: list[Tensor | None]) -> Gradient:
    tokens, *gates = parts
    assert tokens is not None
    return Gradient(tokens, gates[0] if gates else None)
