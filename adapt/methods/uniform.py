"""The control for what pruning brings: as many tokens as `adapt` ends with, spread evenly, never pruned."""

from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.methods._kv_prompts import KeyValuePrompts, initial_prompts
from adapt.prompts import uniform_lengths
from adapt.task import FewShotTask


class Uniform(KeyValuePrompts):
    """The same injection, distillation and number of tokens as `adapt` at the end, with even lengths (ours)."""

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        lengths = uniform_lengths(prune.target, task.backbone.layers)
        super().__init__(task, initial_prompts(task, lengths, prompts), distill)
        self.target = prune.target

    def budget(self) -> int:
        """The tokens that it has from the start."""
        return self.target
