"""The control for what saliency brings: pruned on `adapt`'s schedule, but at random."""

from typing import Any

from adapt.config import PruneConfig
from adapt.methods.adapt import Adapt
from adapt.task import FewShotTask


class RandomPrune(Adapt):
    """`adapt` with the tokens to remove drawn at random, whatever `prune.criterion` says (ours)."""

    def __init__(self, task: FewShotTask, *, prune: PruneConfig, **adapt: Any):
        super().__init__(task, prune=prune.model_copy(update={"criterion": "random"}), **adapt)
