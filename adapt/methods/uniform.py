"""The control for what pruning brings: as many tokens as `adapt` ends with, spread evenly, never pruned."""

from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.methods._kv_prompts import Prompted
from adapt.prompts import Prompts, uniform_lengths
from adapt.task import FewShotTask


class Uniform(Prompted):
    """The same injection, distillation and number of tokens as `adapt` at the end, with even lengths (ours)."""

    def __init__(self, task: FewShotTask, *, context: PromptsConfig, prune: PruneConfig, distill: DistillConfig):
        backbone = task.backbone
        lengths = uniform_lengths(prune.target, backbone.layers)
        prompts = Prompts.initialise(lengths, backbone.widths, std=context.std, seed=task.seed)
        super().__init__(task, prompts, distill)
        self.target = prune.target

    def budget(self) -> int:
        """The tokens that it has from the start."""
        return self.target
