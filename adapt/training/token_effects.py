"""Compare saliency criteria with the true effect of removing a prompt token.

The effect is the change of the training loss without the token. It is measured just before ADAPT's first pruning, by
leaving one token out at a time. All criteria are accumulated in the same run, since they do not affect training before
that point.
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

BATCH = 32  # images at a time where only the loss is needed


class FirstPruning(Exception):
    """The run has reached its first pruning."""


class TokenEffects(NamedTuple):
    """The scores of all n tokens under each criterion, and their true effects.

    An effect is the change of the loss without the token. Text tokens are before image tokens.
    """

    scores: dict[str, Float[Tensor, " n"]]
    effects: Float[Tensor, " n"]


class AllCriteria(Adapt):
    """`adapt` under every criterion at once, up to its first pruning."""

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        gated = prune.model_copy(update={"criterion": "gate"})  # open gates: all that a criterion may need
        super().__init__(task, prompts=prompts, prune=gated, distill=distill)
        self.by_criterion = {name: Saliency(self.prompts, name, task.seed) for name in CRITERIA}
        self.closed_gates: dict[str, Tensor] | None = None  # by branch, to use instead of the open gates

    def gates(self, branch: str) -> Tensor | None:
        """Return the closed gates if they are set, else open gates for their gradients."""
        return super().gates(branch) if self.closed_gates is None else self.closed_gates[branch]

    def has_fixed_steps(self) -> bool:
        """Return False, since one of the criteria is random."""
        return False

    def on_after_backward(self, step: int) -> None:
        """Add this step's scores under every criterion."""
        if self.pruning_goes_on():
            gradients = self.gradients(step)
            for saliency in self.by_criterion.values():
                saliency.accumulate(step, gradients)

    def prune(self, count: int, optimizer: torch.optim.Optimizer) -> list[PrunedToken]:
        """Raise FirstPruning if there is something to remove."""
        if count:
            raise FirstPruning
        return []


def measure(task: FewShotTask, loaders: Mapping[str, FewShotLoader], config: Config, *, shots: int) -> TokenEffects:
    """Train as `adapt` until its first pruning, then leave out each token in turn.

    loaders: `train` and `val`.
    Raises: UserError if adapt never prunes with this config.
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
    """Return Spearman's rank correlations of each criterion's scores with the effects.

    `effect` is the correlation with the signed effect on the loss, which pruning needs; `size` is that with |effect|,
    which the criteria estimate.
    """
    rows, effects = [], measured.effects
    for name, scores in measured.scores.items():
        signed, size = (float(spearmanr(scores, truth)[0]) for truth in (effects, effects.abs()))  # pyright: ignore
        rows.append({"criterion": name, "tokens": len(effects), "effect": signed, "size": size})
    return rows


@torch.no_grad()
def leave_one_out(method: AllCriteria, train: FewShotLoader) -> Float[Tensor, " n"]:
    """Return the rise of the training loss without each token, text before image.

    The loss is over the training images, in whole batches.
    """
    counts = {branch: len(method.prompts.tokens[branch]) for branch in BRANCHES}
    batches = replace(train, batch_size=min(BATCH, len(train.images)))

    def loss(batch: Batch, branch: str | None = None, place: int = 0) -> Tensor:
        method.closed_gates = {name: torch.zeros(count, device=train.device) for name, count in counts.items()}
        if branch is not None:
            method.closed_gates[branch][place] = float("-inf")  # no token attends to the key, as if it were removed
        return method.losses(batch)[0]

    rises = torch.zeros(sum(counts.values()), device=train.device)
    for batch in batches(0):
        without = [loss(batch, branch, place) for branch, count in counts.items() for place in range(count)]
        rises += torch.stack(without) - loss(batch)
    method.closed_gates = None
    return rises.cpu() / len(batches)
