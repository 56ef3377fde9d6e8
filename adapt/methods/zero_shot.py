"""Zero-shot CLIP: nothing is trained."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from adapt.methods._towers import Towers
from adapt.task import Task


class ZeroShot(Towers):
    """The frozen model (Radford et al. 2021), with the dataset's hand-crafted template or the template ensemble."""

    tuned = False

    def __init__(self, task: Task, *, text: Literal["template", "ensemble"]):
        super().__init__(task)
        self.ensemble = text == "ensemble"

    def text_features(self) -> Float[Tensor, "c f"]:
        """Embeddings of the classes in one template or as the mean over `teacher.templates`."""
        return self.task.teacher if self.ensemble else super().text_features()
