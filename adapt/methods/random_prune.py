"""The control for what saliency brings: pruned on `adapt`'s schedule, but at random."""

from adapt.methods.adapt import Adapt
from adapt.params import Context, Distill, Prune
from adapt.task import Task


class RandomPrune(Adapt):
    """`adapt` with the tokens to remove drawn at random, whatever `prune.criterion` says (ours)."""

    def __init__(self, task: Task, *, context: Context, prune: Prune, distill: Distill):
        super().__init__(task, context=context, prune=prune.model_copy(update={"criterion": "random"}), distill=distill)
