"""KgCoOp (Yao et al. 2023): CoOp held near the hand-crafted class embeddings."""

from typing import Any

from adapt.data.batches import Batch
from adapt.distill import Features
from adapt.methods._towers import Term
from adapt.methods.coop import Coop
from adapt.params import Weight
from adapt.task import Task


class KgCoop(Coop):
    """CoOp's loss + weight · (1 - mean over classes of the cosine to the dataset's own template)."""

    def __init__(self, task: Task, *, weight: Weight, **coop: Any):
        super().__init__(task, **coop)
        self.weight = weight

    def terms(self, student: Features, batch: Batch) -> list[Term]:
        """How far the class embeddings have moved."""
        return [Term("distill_text", self.weight, 1 - (student.text * self.task.handcrafted).sum(dim=-1).mean())]
