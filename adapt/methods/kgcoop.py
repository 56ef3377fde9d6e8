"""KgCoOp (Yao et al. 2023): CoOp kept near the hand-crafted class embeddings."""

from functools import cached_property
from typing import Any

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from adapt.config import Templates
from adapt.data.loader import Batch
from adapt.distillation import Features
from adapt.methods._two_tower import LossTerm
from adapt.methods.coop import Coop
from adapt.task import FewShotTask


class KgCoop(Coop):
    """CoOp's loss + w · (1 - mean over classes of the cosine to the frozen text).

    templates: of the frozen text; None: the dataset's own.
    """

    def __init__(self, task: FewShotTask, *, w: NonNegativeFloat, templates: Templates | None, **coop: Any):
        super().__init__(task, **coop)
        self.weight, self.templates = w, templates

    @cached_property
    def frozen_text(self) -> Float[Tensor, "c f"]:
        """The frozen class embeddings that the learned ones are kept near."""
        return self.task.frozen_text_features(self.templates)

    def loss_terms(self, student: Features, batch: Batch) -> list[LossTerm]:
        """Return the distance of the class embeddings from the frozen ones."""
        return [LossTerm("distill_text", self.weight, 1 - (student.text * self.frozen_text).sum(dim=-1).mean())]
