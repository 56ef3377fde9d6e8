"""What the removal of a token truly does to the loss, and what each saliency criterion has foretold of it.

At the moment of `adapt`'s first pruning. All criteria watch one and the same run: up to there they change nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.config import AdamWConfig, AugmentConfig, Config, DistillConfig, PromptsConfig, PruneConfig, SGDConfig
from adapt.data.dataset import Dataset
from adapt.data.loader import Batch, FewShotLoader
from adapt.errors import UserError
from adapt.methods.adapt import Adapt
from adapt.pipeline import fewshot
from adapt.pipeline import train as tuning
from adapt.prompts import BRANCHES
from adapt.pruning import PrunedToken
from adapt.saliency import CRITERIA, Saliency
from adapt.task import FewShotTask
from adapt.training import optimizers as optimisers
from adapt.training.trainer import fit

BATCH = 32  # images at a time where only the loss is asked for


class FirstPruning(Exception):
    """The run is where it would prune."""


class TokenEffects(NamedTuple):
    """Of all n tokens, text before image: the scores under each criterion, and the change of loss without the token."""

    scores: dict[str, Float[Tensor, " n"]]
    effects: Float[Tensor, " n"]


class AllCriteria(Adapt):
    """`adapt` under every criterion at once, up to its first pruning."""

    def __init__(self, task: FewShotTask, *, context: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        gated = prune.model_copy(update={"criterion": "gate"})  # all that a criterion may look at
        super().__init__(task, prompts=context, prune=gated, distill=distill)
        self.watching = {name: Saliency(self.prompts, name, task.seed) for name in CRITERIA}
        self.shut: dict[str, Tensor] | None = None  # gates by branch, in place of the open ones

    def gates(self, branch: str) -> Tensor | None:
        """Open gates, as their gradient tells of removal, or those that are set."""
        return super().gates(branch) if self.shut is None else self.shut[branch]

    def on_after_backward(self, step: int) -> None:
        """Add this step's scores under every criterion."""
        if self.pruning_goes_on():
            gradients = self.gradients(step)
            for saliency in self.watching.values():
                saliency.accumulate(step, gradients)

    def prune(self, count: int, optimiser: torch.optim.Optimizer) -> list[PrunedToken]:
        """Raises FirstPruning where there is something to remove."""
        if count:
            raise FirstPruning
        return []


def measure(backbone: Backbone, source: Dataset, settings: Config, views: AugmentConfig, seed: int) -> TokenEffects:
    """For one seed of a dataset, under the settings of `adapt`.

    Raises: UserError where these settings never prune.
    """
    knobs, described = dict(settings), fewshot.describe(source.name)
    optimiser = knobs.pop("optimiser")
    batches = tuning.make_batches(backbone, source, seed, optimiser=optimiser, views=views)
    steps = optimisers.num_steps(optimiser, len(batches["train"]), described.shots)
    return measure_at_first_pruning(tuning.make_task(backbone, source.name, seed), knobs, batches, optimiser, steps)


def measure_at_first_pruning(
    task: FewShotTask,
    knobs: Mapping[str, Any],
    batches: Mapping[str, FewShotLoader],
    optimiser: SGDConfig | AdamWConfig,
    steps: int,
) -> TokenEffects:
    """Tune as `adapt` with these knobs does, on the batches of `train`, until its first pruning.

    Raises: UserError where it never comes.
    """
    method = AllCriteria(task, **knobs)
    method.on_fit_start(batches["train"], batches["val"])
    try:
        fit(method, batches["train"], optimiser, steps=steps)
    except FirstPruning:
        scores = {name: saliency.scores() for name, saliency in method.watching.items()}
        return TokenEffects(scores, effects(method, batches["train"]))
    raise UserError("params.yaml: prune: adapt removes no token under these settings, so nothing is foretold")


def rank_correlations(foretold: TokenEffects) -> list[dict[str, Any]]:
    """Spearman's rank correlation of each criterion's scores with the `effect` on the loss and with its `size`.

    Pruning wants the first, which has a sign; criteria estimate the second, |effect|.
    """
    rows, effects = [], foretold.effects
    for name, scores in foretold.scores.items():
        signed, size = (float(spearmanr(scores, truth)[0]) for truth in (effects, effects.abs()))  # pyright: ignore
        rows.append({"criterion": name, "tokens": len(effects), "effect": signed, "size": size})
    return rows


@torch.no_grad()
def effects(method: AllCriteria, train: FewShotLoader) -> Float[Tensor, " n"]:
    """By how much the loss over the training images, in whole batches, rises without one token; text before image."""
    counts = {branch: len(method.prompts.tokens[branch]) for branch in BRANCHES}
    batches = replace(train, batch_size=min(BATCH, len(train.images)))

    def loss(batch: Batch, branch: str | None = None, place: int = 0) -> Tensor:
        method.shut = {name: torch.zeros(count, device=train.device) for name, count in counts.items()}
        if branch is not None:
            method.shut[branch][place] = float("-inf")  # a key that nothing attends to is not there
        return method.losses(batch)[0]

    rises = torch.zeros(sum(counts.values()), device=train.device)
    for batch in batches(0):
        without = [loss(batch, branch, place) for branch, count in counts.items() for place in range(count)]
        rises += torch.stack(without) - loss(batch)
    method.shut = None
    return rises.cpu() / len(batches)
