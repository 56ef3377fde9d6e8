"""What every method offers to fit and to evaluation."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapt.data.loader import Batch, FewShotLoader
from adapt.pruning import PrunedToken
from adapt.task import FewShotTask

Classifier = Callable[[Float[Tensor, "b 3 y x"]], Float[Tensor, "b c"]]


class Method(nn.Module):
    """A way to adapt the backbone to a task. What it trains are this module's parameters, nothing else.

    The constructor takes the task and, by keyword, the method's settings, each with its type: they are the keys of
    conf/method/NAME.yaml, or a section of the params of the same name. A method that builds on another names its own
    and takes the other's as `**`.
    """

    trainable: ClassVar[bool] = True  # by gradient steps: its settings then have an `optimizer`
    modifies_image_tower: ClassVar[bool] = (
        False  # puts something into the image tower's layers: it has to be a plain ViT
    )

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse settings that contradict each other on a backbone of so many layers by branch.

        Their types and ranges hold already.

        Raises: ValueError.
        """

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """What the user should know of settings that are allowed, on a backbone of so many layers by branch."""
        return None

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Look at the few-shot images before the first step."""

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Learn, before the first step, how many steps an epoch and the last phase have."""

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss to descend and its terms by name (before weighting), `cross_entropy` first."""
        raise NotImplementedError

    def phase_epochs(self) -> list[int]:
        """Epochs of each phase that comes before the last, which is as long as the optimizer's section says.

        Every phase has a learning rate schedule of its own and begins with a fresh optimizer.
        """
        return []

    def on_phase_start(self, phase: int) -> None:
        """Get ready for a phase, counted from 0."""

    def on_after_backward(self, step: int) -> None:
        """Look at the gradients of step number `step`, before the optimizer uses them."""

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Change what is trained after a step; tells which tokens went."""
        return []

    def has_fixed_steps(self) -> bool:
        """Whether a step does the same work on every batch now, draws nothing, and looks at nothing but the batch.

        Then a GPU may replay a recorded step: `losses` and `on_after_backward` are not called for it.
        """
        return True

    def scores(self) -> list[Tensor]:
        """What `on_after_backward` adds to in place."""
        return []

    def on_epoch_end(self, epoch: int) -> None:
        """Take note of the end of an epoch."""

    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
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

    def num_trainable(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def __init__(self, task: FewShotTask):
        super().__init__()
        self.task = task

    def to_tensors(self) -> dict[str, Tensor]:
        """All that evaluation needs."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `to_tensors`."""
        self.load_state_dict(dict(tensors))

    def training_state(self) -> dict[str, Tensor]:
        """All that a resumed run needs, with `load_training_state` as its inverse."""
        return self.to_tensors()

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `training_state`."""
        self.load_tensors(tensors)
