"""ADAPT: heterogeneous prompts whose lengths are found by pruning tokens while tuning (TMLR 2026)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from adapt import pruning
from adapt.methods._prompted import Prompted
from adapt.params import Context, Distill, Prune
from adapt.prompts import BRANCHES, Prompts
from adapt.pruning import Removal, Schedule
from adapt.saliency import Saliency
from adapt.task import Task


class Adapt(Prompted):
    """Starts with `context.length` tokens at every layer of both branches and prunes to `prune.target` in all."""

    def __init__(self, task: Task, *, context: Context, prune: Prune, distill: Distill):
        backbone = task.backbone
        lengths = {branch: [context.length] * layers for branch, layers in backbone.layers.items()}
        prompts = Prompts.initialise(lengths, backbone.widths, std=context.std, seed=task.seed)
        super().__init__(task, prompts, kind=distill.kind, text=distill.text, image=distill.image)
        self.schedule = Schedule(prune.warmup, prune.every, prune.count, prune.target)
        self.saliency = Saliency(self.prompts, prune.criterion, task.seed)

    def gates(self) -> dict[str, Tensor | None]:
        """Open gates where the criterion looks at their gradients."""
        return self.saliency.gates() if self.pruning_goes_on() else super().gates()

    def observe(self, step: int) -> None:
        """Add this step's saliency."""
        if self.pruning_goes_on():
            self.saliency.observe(step)

    def revise(self, step: int, epoch: int, optimiser: torch.optim.Optimizer) -> list[Removal]:
        """Prune where the schedule says so."""
        due = self.schedule.due(step, epoch, self.prompts.count())
        if not due:
            return []
        scores = self.saliency.scores()
        removed = list(pruning.remove(self.prompts, optimiser, pruning.lowest(scores, due), scores))
        self.saliency.reset()
        return removed

    def pruning_goes_on(self) -> bool:
        """Whether there are tokens above the budget; scores are of no use afterwards."""
        return self.prompts.count() > self.schedule.target

    def progress(self) -> dict[str, Tensor]:
        """The prompts and the running scores."""
        return self.tensors() | {f"{branch}.saliency": self.saliency.totals[branch].cpu() for branch in BRANCHES}

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with prompts and scores."""
        super().resume(tensors)
        self.saliency.prompts = self.prompts
        self.saliency.reset()
        for branch, total in self.saliency.totals.items():
            total += tensors[f"{branch}.saliency"].to(total.device)
