"""The control for what pruning brings: as many tokens as `adapt` ends with, spread evenly, never pruned."""

from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.methods._kv_prompts import KeyValuePrompts
from adapt.prompts import Prompts, uniform_lengths
from adapt.task import FewShotTask


class Uniform(KeyValuePrompts):
    """The same injection, distillation and number of tokens as `adapt` at the end, with even lengths (ours)."""

    def __init__(self, task: FewShotTask, *, prompts: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        backbone = task.backbone
        lengths = uniform_lengths(prune.target, backbone.layers)
        tokens = Prompts.initialise(lengths, backbone.widths, std=prompts.init_std, seed=task.seed)
        super().__init__(task, tokens, distill)
        self.target = prune.target

    def budget(self) -> int:
        """The tokens that it has from the start."""
        return self.target
