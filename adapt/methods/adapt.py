"""ADAPT: heterogeneous prompts whose lengths are found by pruning tokens while tuning (TMLR 2026)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from adapt import pruning
from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.data.loader import FewShotLoader
from adapt.methods._kv_prompts import KeyValuePrompts, initial_prompts
from adapt.prompts import BRANCHES
from adapt.pruning import PrunedToken, Schedule
from adapt.saliency import Gradient, Saliency, random
from adapt.task import FewShotTask


class Adapt(KeyValuePrompts):
    """Starts with `prompts.initial_length` tokens a layer in both branches and prunes to `prune.target` in all."""

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        lengths = {branch: [prompts.initial_length] * layers for branch, layers in task.backbone.layers.items()}
        super().__init__(task, initial_prompts(task, lengths, prompts), distill)
        self.schedule = Schedule(prune.warmup, prune.every, prune.count, prune.target)
        self.saliency = Saliency(self.prompts, prune.criterion, task.seed)
        self.by_val = prune.data == "val"

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse a budget above the tokens at the start."""
        config.prune.check_budget(config.prompts, layers)

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """That nothing will be pruned, where the epochs are known to end with the warm-up."""
        prune, epochs = config.prune, config.optimizer.epochs
        start = config.prompts.initial_length * sum(layers.values())
        if epochs is None or epochs > prune.warmup or start <= prune.target:
            return None
        return (
            f"nothing will be pruned, since prune.warmup: {prune.warmup} leaves none of {epochs} epochs: it ends with "
            f"{start} tokens, not with the {prune.target} of prune.target"
        )

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Keep the val images, where saliency is measured on them."""
        self.val = val

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Fit the schedule to the steps that there are."""
        self.schedule = self.schedule.reaching(self.prompts.count(), per_epoch=per_epoch, steps=steps)

    def budget(self) -> int:
        """The target of pruning."""
        return self.schedule.target

    def gates(self, branch: str) -> Tensor | None:
        """Open gates where the criterion looks at their gradients."""
        return self.saliency.gates(branch) if torch.is_grad_enabled() and self.pruning_goes_on() else None

    def has_fixed_steps(self) -> bool:
        """Not where saliency draws, or looks at the val images."""
        return self.saliency.criterion is not random and not self.by_val

    def scores(self) -> list[Tensor]:
        """The running saliency."""
        return list(self.saliency.totals.values())

    def on_after_backward(self, step: int) -> None:
        """Add this step's saliency."""
        if self.pruning_goes_on():
            self.saliency.accumulate(step, self.gradients(step))

    def gradients(self, step: int) -> dict[str, Gradient]:
        """What saliency looks at; the bi-level variant takes it from a batch of val images, in their order."""
        if not self.by_val:
            return self.saliency.gradients()
        epoch, number = divmod(step - 1, len(self.val))
        return self.saliency.gradients_of(self.losses(self.val.batch(epoch, number))[0])

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Prune where the schedule says so."""
        return self.prune(self.schedule.num_to_prune(step, epoch, self.prompts.count()), optimizer)

    def prune(self, count: int, optimizer: torch.optim.Optimizer) -> list[PrunedToken]:
        """Remove the `count` tokens of the lowest scores."""
        if not count:
            return []
        scores = self.saliency.scores()
        removed = list(pruning.remove(self.prompts, optimizer, pruning.lowest(scores, count), scores))
        self.saliency.reset()
        return removed

    def pruning_goes_on(self) -> bool:
        """Whether there are tokens above the budget; scores are of no use afterwards."""
        return self.prompts.count() > self.schedule.target

    def training_state(self) -> dict[str, Tensor]:
        """The prompts and the running scores."""
        return self.to_tensors() | {f"{branch}.saliency": self.saliency.totals[branch].cpu() for branch in BRANCHES}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The prompts; scores start anew."""
        super().load_tensors(tensors)
        self.saliency.prompts = self.prompts
        self.saliency.reset()

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with prompts and scores."""
        super().load_training_state(tensors)
        for branch, total in self.saliency.totals.items():
            total += tensors[f"{branch}.saliency"].to(total.device)
