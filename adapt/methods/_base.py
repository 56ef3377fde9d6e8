"""The interface of every method to fit and to evaluation."""

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
    """A way to adapt the backbone to a task.

    The optimizer trains this module's parameters and nothing else.

    The constructor takes the task and, as typed keyword arguments, the method's settings. Each is a key of
    conf/method/NAME.yaml, or a section of the params of the same name. A method that extends another one names its own
    settings and takes the other's as `**`.
    """

    trainable: ClassVar[bool] = True  # by gradient steps; the settings then include `optimizer`
    modifies_image_tower: ClassVar[bool] = (
        False  # injects into the image tower's layers, so the tower has to be a plain ViT
    )

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse settings that contradict each other.

        Their types and ranges are already checked.
        layers: the backbone's number of layers by branch.
        Raises: ValueError.
        """

    @classmethod
    def config_warning(cls, config: Any, layers: Mapping[str, int]) -> str | None:
        """Return a warning about settings that are allowed, or None.

        layers: the backbone's number of layers by branch.
        """
        return None

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Use the few-shot images before the first step."""

    def on_train_start(self, per_epoch: int, steps: int) -> None:
        """Use the number of steps per epoch and in the last phase, before the first step."""

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the loss to minimise and its unweighted terms, `cross_entropy` first."""
        raise NotImplementedError

    def phase_epochs(self) -> list[int]:
        """Return the number of epochs of each phase before the last one.

        The optimizer's settings give the length of the last phase. Every phase has its own learning rate schedule and
        begins with a fresh optimizer.
        """
        return []

    def on_phase_start(self, phase: int) -> None:
        """Prepare a phase, counted from 0."""

    def on_after_backward(self, step: int) -> None:
        """Read or change the gradients of step number `step` before the optimizer does."""

    def on_after_step(self, step: int, epoch: int, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Change the trained parameters after a step; return the pruned tokens."""
        return []

    def has_fixed_steps(self) -> bool:
        """Return whether a step currently does the same work on every batch.

        Such a step draws no random numbers and uses no data but its batch. A GPU may then replay a recorded step,
        without calls of `losses` and `on_after_backward`.
        """
        return True

    def scores(self) -> list[Tensor]:
        """Return the tensors that `on_after_backward` adds to in place."""
        return []

    def on_epoch_end(self, epoch: int) -> None:
        """Run after the last step of an epoch."""

    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Run once after the last step; return the pruned tokens."""
        return []

    def classifier(self) -> Classifier:
        """Return the function from images to logits.

        Everything that does not depend on the images is computed once.
        """
        raise NotImplementedError

    def lengths(self) -> dict[str, list[int]]:
        """Return the number of learned tokens by branch and layer."""
        return {branch: [0] * layers for branch, layers in self.task.backbone.layers.items()}

    def budget(self) -> int | None:
        """Return the number of learned tokens to end with; None without a budget."""
        return None

    def num_trainable(self) -> int:
        """Return the number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def __init__(self, task: FewShotTask):
        super().__init__()
        self.task = task

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all tensors that evaluation needs."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the tensors that `to_tensors` returned."""
        self.load_state_dict(dict(tensors))

    def training_state(self) -> dict[str, Tensor]:
        """Return all tensors that a resumed run needs."""
        return self.to_tensors()

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the tensors that `training_state` returned."""
        self.load_tensors(tensors)
