"""ADAPT (TMLR 2026): heterogeneous prompt lengths, found by pruning while tuning."""

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
    """Key/value prompts, pruned while tuning to `prune.target` tokens in total.

    Every layer of both branches starts with `prompts.initial_length` tokens.
    """

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        lengths = {branch: [prompts.initial_length] * layers for branch, layers in task.backbone.layers.items()}
        super().__init__(task, initial_prompts(task, lengths, prompts), distill)
        self.schedule = Schedule(prune.warmup, prune.every, prune.count, prune.target)
        self.saliency = Saliency(self.prompts, prune.criterion, task.seed)
        self.by_val = prune.data == "val"

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse a budget above the initial number of tokens."""
        config.prune.check_budget(config.prompts, layers)

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """Return a warning if training is known to end within the pruning warm-up."""
        prune, epochs = config.prune, config.optimizer.epochs
        start = config.prompts.initial_length * sum(layers.values())
        if epochs is None or epochs > prune.warmup or start <= prune.target:
            return None
        return (
            f"nothing will be pruned, since prune.warmup: {prune.warmup} leaves none of {epochs} epochs; training ends "
            f"with {start} tokens, not with prune.target: {prune.target}"
        )

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Keep the val images, which `prune.data: val` computes saliency on."""
        self.val = val

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Adjust the pruning schedule to the number of steps."""
        self.schedule = self.schedule.reaching(self.prompts.count(), per_epoch=per_epoch, steps=steps)

    def budget(self) -> int:
        """Return the pruning target."""
        return self.schedule.target

    def gates(self, branch: str) -> Tensor | None:
        """Return open gates while pruning, if the criterion uses their gradients."""
        return self.saliency.gates(branch) if torch.is_grad_enabled() and self.pruning_goes_on() else None

    def has_fixed_steps(self) -> bool:
        """Return False if saliency is random or uses the val images."""
        return self.saliency.criterion is not random and not self.by_val

    def scores(self) -> list[Tensor]:
        """Return the running saliency."""
        return list(self.saliency.totals.values())

    def on_after_backward(self, step: int) -> None:
        """Add this step's saliency, as long as pruning is not finished."""
        if self.pruning_goes_on():
            self.saliency.accumulate(step, self.gradients(step))

    def gradients(self, step: int) -> dict[str, Gradient]:
        """Return the gradients for the saliency.

        The bi-level variant computes them on a batch of val images, in their order.
        """
        if not self.by_val:
            return self.saliency.gradients()
        epoch, number = divmod(step - 1, len(self.val))
        return self.saliency.gradients_of(self.losses(self.val.batch(epoch, number))[0])

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Prune as many tokens as the schedule asks for."""
        return self.prune(self.schedule.num_to_prune(step, epoch, self.prompts.count()), optimizer)

    def prune(self, count: int, optimizer: torch.optim.Optimizer) -> list[PrunedToken]:
        """Remove the `count` tokens with the lowest scores."""
        if not count:
            return []
        scores = self.saliency.scores()
        removed = list(pruning.remove(self.prompts, optimizer, pruning.lowest(scores, count), scores))
        self.saliency.reset()
        return removed

    def pruning_goes_on(self) -> bool:
        """Return whether tokens exceed the budget; afterwards scores are not needed."""
        return self.prompts.count() > self.schedule.target

    def training_state(self) -> dict[str, Tensor]:
        """Return the prompts and the running scores."""
        return self.to_tensors() | {f"{branch}.saliency": self.saliency.totals[branch].cpu() for branch in BRANCHES}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the prompts and reset the scores."""
        super().load_tensors(tensors)
        self.saliency.prompts = self.prompts
        self.saliency.reset()

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the prompts and the running scores."""
        super().load_training_state(tensors)
        for branch, total in self.saliency.totals.items():
            total += tensors[f"{branch}.saliency"].to(total.device)
