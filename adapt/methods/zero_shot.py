"""Zero-shot CLIP: nothing is trained."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask


class ZeroShot(TwoTower):
    """The frozen model (Radford et al. 2021).

    text: the dataset's hand-crafted template, or the template ensemble.
    """

    trainable = False

    def __init__(self, task: FewShotTask, *, text: Literal["template", "ensemble"]):
        super().__init__(task)
        self.ensemble = text == "ensemble"

    def text_features(self) -> Float[Tensor, "c f"]:
        """Return class embeddings from one template or from the ensemble.

        The ensemble is the mean over `teacher.templates` of normalised embeddings.
        """
        if not self.ensemble:
            return super().text_features()
        assert self.task.zero_shot is not None, "the task was made without the ensemble"
        return self.task.zero_shot
