"""Compare each saliency criterion with the true effect that removing a prompt token has on the training loss.

The effect is measured just before ADAPT's first pruning, by leaving one token out at a time. All criteria are
accumulated in the same run, since they do not affect training before that point.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from adapt.config import Config, DistillConfig, PromptsConfig, PruneConfig
from adapt.data.loader import Batch, FewShotLoader
from adapt.errors import UserError
from adapt.methods.adapt import Adapt
from adapt.prompts import BRANCHES
from adapt.pruning import PrunedToken
from adapt.saliency import CRITERIA, Saliency
from adapt.task import FewShotTask
from adapt.training.optimizers import num_steps
from adapt.training.trainer import train

BATCH = 32  # images at a time where only the loss is asked for


class FirstPruning(Exception):
    """The run is where it would prune."""


class TokenEffects(NamedTuple):
    """Of all n tokens, text before image: the scores under each criterion, and the change of loss without the token."""

    scores: dict[str, Float[Tensor, " n"]]
    effects: Float[Tensor, " n"]


class AllCriteria(Adapt):
    """`adapt` under every criterion at once, up to its first pruning."""

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        gated = prune.model_copy(update={"criterion": "gate"})  # all that a criterion may look at
        super().__init__(task, prompts=prompts, prune=gated, distill=distill)
        self.by_criterion = {name: Saliency(self.prompts, name, task.seed) for name in CRITERIA}
        self.closed_gates: dict[str, Tensor] | None = None  # gates by branch, in place of the open ones

    def gates(self, branch: str) -> Tensor | None:
        """Open gates, as their gradient tells of removal, or those that are set."""
        return super().gates(branch) if self.closed_gates is None else self.closed_gates[branch]

    def has_fixed_steps(self) -> bool:
        """Never, since one of the criteria draws."""
        return False

    def on_after_backward(self, step: int) -> None:
        """Add this step's scores under every criterion."""
        if self.pruning_goes_on():
            gradients = self.gradients(step)
            for saliency in self.by_criterion.values():
                saliency.accumulate(step, gradients)

    def prune(self, count: int, optimizer: torch.optim.Optimizer) -> list[PrunedToken]:
        """Raises FirstPruning where there is something to remove."""
        if count:
            raise FirstPruning
        return []


def measure(task: FewShotTask, loaders: Mapping[str, FewShotLoader], config: Config, *, shots: int) -> TokenEffects:
    """Train as `adapt` does under a config until its first pruning, and take out every token by itself there.

    loaders: `train` and `val`.
    Raises: UserError where adapt never prunes under this config.
    """
    arguments = dict(config)
    optimizer = arguments.pop("optimizer")
    method = AllCriteria(task, **arguments)
    method.on_fit_start(loaders["train"], loaders["val"])
    try:
        train(method, loaders["train"], optimizer, steps=num_steps(optimizer, len(loaders["train"]), shots))
    except FirstPruning:
        scores = {name: saliency.scores() for name, saliency in method.by_criterion.items()}
        return TokenEffects(scores, leave_one_out(method, loaders["train"]))
    raise UserError("prune: adapt removes no token under these settings, so there is nothing to measure")


def rank_correlations(measured: TokenEffects) -> list[dict[str, Any]]:
    """Spearman's rank correlation of each criterion's scores with the `effect` on the loss and with its `size`.

    Pruning wants the first, which has a sign; criteria estimate the second, |effect|.
    """
    rows, effects = [], measured.effects
    for name, scores in measured.scores.items():
        signed, size = (float(spearmanr(scores, truth)[0]) for truth in (effects, effects.abs()))  # pyright: ignore
        rows.append({"criterion": name, "tokens": len(effects), "effect": signed, "size": size})
    return rows


@torch.no_grad()
def leave_one_out(method: AllCriteria, train: FewShotLoader) -> Float[Tensor, " n"]:
    """By how much the loss over the training images, in whole batches, rises without one token; text before image."""
    counts = {branch: len(method.prompts.tokens[branch]) for branch in BRANCHES}
    batches = replace(train, batch_size=min(BATCH, len(train.images)))

    def loss(batch: Batch, branch: str | None = None, place: int = 0) -> Tensor:
        method.closed_gates = {name: torch.zeros(count, device=train.device) for name, count in counts.items()}
        if branch is not None:
            method.closed_gates[branch][place] = float("-inf")  # a key that nothing attends to is not there
        return method.losses(batch)[0]

    rises = torch.zeros(sum(counts.values()), device=train.device)
    for batch in batches(0):
        without = [loss(batch, branch, place) for branch, count in counts.items() for place in range(count)]
        rises += torch.stack(without) - loss(batch)
    method.closed_gates = None
    return rises.cpu() / len(batches)
