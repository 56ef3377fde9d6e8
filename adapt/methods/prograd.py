"""ProGrad (Zhu et al. 2023): CoOp with gradients that agree with zero-shot CLIP."""

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from adapt.config import Templates
from adapt.data.loader import Batch
from adapt.distillation import Features, logits
from adapt.methods.coop import Coop
from adapt.task import FewShotTask


class ProGrad(Coop):
    """CoOp without the part of its gradient that opposes zero-shot CLIP.

    Let a be the gradient of the cross-entropy, and b that of the distance to zero-shot CLIP's predictions. If a·b < 0,
    the optimizer gets a - loss_lambda · (a·b/‖b‖²) b, else a. The distance itself is not minimised.
    templates: of zero-shot CLIP's text; None: the dataset's own.
    """

    def __init__(self, task: FewShotTask, *, loss_lambda: NonNegativeFloat, templates: Templates | None, **coop: Any):
        super().__init__(task, **coop)
        self.strength, self.templates = loss_lambda, templates

    @cached_property
    def frozen_text(self) -> Float[Tensor, "c f"]:
        """Zero-shot CLIP's class embeddings."""
        return self.task.frozen_text_features(self.templates)

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy alone; keep the gradient b for `on_after_backward`."""
        scale = self.task.backbone.logit_scale
        student = logits(Features(self.text_features(), batch.teacher), scale)
        teacher = logits(Features(self.frozen_text, batch.teacher), scale)
        distance = F.cross_entropy(student, teacher.softmax(dim=-1))
        (self.general,) = torch.autograd.grad(distance, self.context, retain_graph=True)
        cross_entropy = F.cross_entropy(student, batch.labels)
        return cross_entropy, {"cross_entropy": cross_entropy, "distance": distance}

    def on_after_backward(self, step: int) -> None:
        """Remove the part of the gradient that opposes b, the general direction."""
        assert self.context.grad is not None
        self.context.grad = project(self.context.grad, self.general, self.strength)


def project(a: Tensor, b: Tensor, strength: float) -> Tensor:
    """Return a, or a - strength · (a·b/‖b‖²) b if a·b < 0."""
    unit = b / b.norm()
    along = (a * unit).sum()
    return torch.where(along < 0, a - strength * along * unit, a)
