"""A control for the saliency: random pruning on `adapt`'s schedule."""

from typing import Any

from adapt.config import PruneConfig
from adapt.methods.adapt import Adapt
from adapt.task import FewShotTask


class RandomPrune(Adapt):
    """`adapt` with random tokens to prune, whatever `prune.criterion` is (ours)."""

    def __init__(self, task: FewShotTask, *, prune: PruneConfig, **adapt: Any):
        super().__init__(task, prune=prune.model_copy(update={"criterion": "random"}), **adapt)
