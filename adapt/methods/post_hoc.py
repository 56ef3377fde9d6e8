"""A control for pruning while tuning: pruning once after tuning at full length.

After the pruning there is no more tuning.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from adapt.methods.adapt import Adapt
from adapt.pruning import PrunedToken


class PostHoc(Adapt):
    """`adapt` with one pruning after the last step (ours).

    Its scores are the saliency summed over the last epoch.
    """

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """Return None: it prunes at the end, whatever the warm-up."""
        return None

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Keep the numbers of steps, to detect the end of an epoch and the last epoch."""
        self.per_epoch, self.steps = per_epoch, steps

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Prune nothing; reset the scores after every epoch but the last."""
        if step % self.per_epoch == 0 and step < self.steps:
            self.saliency.reset()
        return []

    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Prune down to the budget."""
        return self.prune(max(0, self.prompts.count() - self.schedule.target), optimizer)
