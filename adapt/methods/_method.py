"""What every method offers to fit and to evaluation."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapt.data.batches import Batch
from adapt.pruning import Removal
from adapt.task import Task

Classifier = Callable[[Float[Tensor, "b 3 y x"]], Float[Tensor, "b c"]]


class Method(nn.Module):
    """A way to adapt the backbone to a task. What it trains are this module's parameters, nothing else.

    The constructor takes the task and, by keyword, the sections of the params that the method uses.
    """

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss to descend and its terms by name (before weighting)."""
        raise NotImplementedError

    def observe(self, step: int) -> None:
        """Look at the gradients of step number `step`, before the optimiser uses them."""

    def revise(self, step: int, epoch: int, optimiser: torch.optim.Optimizer) -> list[Removal]:
        """Change what is trained after a step; tells which tokens went."""
        return []

    def classifier(self) -> Classifier:
        """The function from images to logits, with whatever does not depend on images computed once."""
        raise NotImplementedError

    def lengths(self) -> dict[str, list[int]]:
        """Tokens by branch and layer."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """All that evaluation needs."""
        raise NotImplementedError

    @classmethod
    def restore(cls, task: Task, tensors: Mapping[str, Tensor]) -> "Method":
        """The method as `tensors` left it, to be evaluated."""
        raise NotImplementedError

    def progress(self) -> dict[str, Tensor]:
        """All that a resumed run needs, with `resume` as its inverse."""
        return self.tensors()

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `progress`."""
        raise NotImplementedError
