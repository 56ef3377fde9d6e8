"""What every method offers to fit and to evaluation."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapt.data.loader import Batch, Batches
from adapt.pruning import PrunedToken
from adapt.task import FewShotTask

Classifier = Callable[[Float[Tensor, "b 3 y x"]], Float[Tensor, "b c"]]


class Method(nn.Module):
    """A way to adapt the backbone to a task. What it trains are this module's parameters, nothing else.

    The constructor takes the task and, by keyword, the method's knobs, each with its type: they are what
    `knobs.<method>` in the params may say, or a section of the params of the same name. A method that builds on another
    names its own and takes the other's as `**`.
    """

    tuned: ClassVar[bool] = True  # by gradient steps: the knobs then have an `optimiser`
    enters_image: ClassVar[bool] = False  # puts something into the image tower's layers: it has to be a plain ViT

    @classmethod
    def agree(cls, settings: Any) -> None:
        """Refuse knobs that contradict each other; their types and ranges hold already.

        Raises: ValueError.
        """

    @classmethod
    def caution(cls, settings: Any, layers: Mapping[str, int]) -> str | None:
        """What the user should know of knobs that are allowed, on a backbone of so many layers by branch."""
        return None

    def prepare(self, train: Batches, val: Batches) -> None:
        """Look at the few-shot images before the first step."""

    def plan(self, per_epoch: int, steps: int) -> None:
        """Learn, before the first step, how many steps an epoch and the last phase have."""

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss to descend and its terms by name (before weighting), `cross_entropy` first."""
        raise NotImplementedError

    def phases(self) -> list[int]:
        """Epochs of each phase that comes before the last, which is as long as the optimiser's section says.

        Every phase has a learning rate schedule of its own and begins with a fresh optimiser.
        """
        return []

    def begin(self, phase: int) -> None:
        """Get ready for a phase, counted from 0."""

    def observe(self, step: int) -> None:
        """Look at the gradients of step number `step`, before the optimiser uses them."""

    def revise(self, step: int, epoch: int, optimiser: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Change what is trained after a step; tells which tokens went."""
        return []

    def close(self, epoch: int) -> None:
        """Take note of the end of an epoch."""

    def finish(self, optimiser: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """What is done once after the last step; tells which tokens went."""
        return []

    def classifier(self) -> Classifier:
        """The function from images to logits, with whatever does not depend on images computed once."""
        raise NotImplementedError

    def lengths(self) -> dict[str, list[int]]:
        """Learned tokens by branch and layer."""
        return {branch: [0] * layers for branch, layers in self.task.backbone.layers.items()}

    def budget(self) -> int | None:
        """How many learned tokens it is to end with; None where it has no such aim."""
        return None

    def trainable(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def __init__(self, task: FewShotTask):
        super().__init__()
        self.task = task

    def tensors(self) -> dict[str, Tensor]:
        """All that evaluation needs."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        self.load_state_dict(dict(tensors))

    def progress(self) -> dict[str, Tensor]:
        """All that a resumed run needs, with `resume` as its inverse."""
        return self.tensors()

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `progress`."""
        self.load(tensors)
