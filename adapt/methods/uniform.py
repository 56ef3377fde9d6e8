"""A control for pruning: as many tokens as `adapt` ends with, spread evenly."""

from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.methods._kv_prompts import KeyValuePrompts, initial_prompts
from adapt.prompts import uniform_lengths
from adapt.task import FewShotTask


class Uniform(KeyValuePrompts):
    """`adapt`'s injection, distillation and final number of tokens, in even lengths.

    Nothing is pruned (ours).
    """

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        lengths = uniform_lengths(prune.target, task.backbone.layers)
        super().__init__(task, initial_prompts(task, lengths, prompts), distill)
        self.target = prune.target

    def budget(self) -> int:
        """Return the number of tokens, which is constant."""
        return self.target
