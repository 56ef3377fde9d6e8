"""The control for pruning while tuning: tuned at full length, pruned once at the end, not tuned any further."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from adapt.methods.adapt import Adapt
from adapt.pruning import PrunedToken


class PostHoc(Adapt):
    """`adapt` with one pruning after the last step, by the saliency summed over the last epoch (ours)."""

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """Nothing: it prunes at the end, whatever the warm-up."""
        return None

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Learn how many steps there are."""
        self.per_epoch, self.steps = per_epoch, steps

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Nothing goes while tuning; scores begin anew after every epoch but the last."""
        if step % self.per_epoch == 0 and step < self.steps:
            self.saliency.reset()
        return []

    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Prune down to the budget."""
        return self.prune(max(0, self.prompts.count() - self.schedule.target), optimizer)
