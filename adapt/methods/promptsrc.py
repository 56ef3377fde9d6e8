"""PromptSRC (Khattak et al. 2023): IVLP regularised by the frozen model.

Its prompts are averaged over the epochs.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from adapt.config import SGDConfig
from adapt.data.loader import Batch
from adapt.distillation import Features, kl, l1
from adapt.methods._two_tower import LossTerm
from adapt.methods.ivlp import Ivlp
from adapt.pruning import PrunedToken
from adapt.task import FewShotTask


class PromptSrc(Ivlp):
    """IVLP + L1 to the frozen class and image features + KL to the frozen logits.

    The final prompts are a mean over all epochs, weighted by a Gaussian with `gpa_mean` and `gpa_std`.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        text_loss_weight: NonNegativeFloat,
        image_loss_weight: NonNegativeFloat,
        logits_loss_weight: NonNegativeFloat,
        gpa_mean: float,
        gpa_std: PositiveFloat,
        optimizer: SGDConfig,
        **ivlp: Any,
    ):
        super().__init__(task, **ivlp)
        self.factors = (text_loss_weight, image_loss_weight, logits_loss_weight)
        self.epochs = gpa_weights(gpa_mean, gpa_std, optimizer.epochs)
        self.total = [torch.zeros_like(prompt) for prompt in self.parameters()]

    def loss_terms(self, student: Features, batch: Batch) -> list[LossTerm]:
        """Return the losses that keep the prompted model near the frozen one."""
        teacher, scale = Features(self.task.teacher, batch.teacher), self.task.backbone.logit_scale
        values = (*l1(student, teacher, scale), kl(student, teacher, scale)[1])
        return [LossTerm(*term) for term in zip(("l1_text", "l1_image", "kl"), self.factors, values, strict=True)]

    @torch.no_grad()
    def on_epoch_end(self, epoch: int) -> None:
        """Add the epoch's prompts to the mean."""
        for total, prompt in zip(self.total, self.parameters(), strict=True):
            total += self.epochs[epoch] * prompt

    @torch.no_grad()
    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> Iterable[PrunedToken]:
        """Replace the last epoch's prompts by the mean."""
        for total, prompt in zip(self.total, self.parameters(), strict=True):
            prompt.copy_(total)
        return []

    def training_state(self) -> dict[str, Tensor]:
        """Return the prompts and the mean so far."""
        return self.to_tensors() | {f"total.{number}": total.cpu() for number, total in enumerate(self.total)}

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the prompts and the mean so far."""
        self.load_tensors({name: value for name, value in tensors.items() if not name.startswith("total.")})
        for number, total in enumerate(self.total):
            total.copy_(tensors[f"total.{number}"])


def gpa_weights(mean: float, std: float, epochs: int) -> list[float]:
    """Return the weights of the epochs, counted from 1; they sum to 1."""
    heights = [math.exp(-(((epoch - mean) / std) ** 2) / 2) for epoch in range(1, epochs + 1)]
    return [height / math.fsum(heights) for height in heights]
