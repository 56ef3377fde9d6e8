"""VPT, deep (Jia et al. 2022): prompts in the image tower alone."""

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from adapt.clip.encoders import TextInput
from adapt.config import ImageDepth, Template
from adapt.methods._deep_prompts import Deep, image_parameters
from adapt.task import FewShotTask


class Vpt(Deep):
    """`tokens` image prompts at each of the first `depth` layers; the classes in a fixed template, or the dataset's."""

    def __init__(
        self,
        task: FewShotTask,
        *,
        tokens: PositiveInt,
        depth: ImageDepth,
        std: NonNegativeFloat,
        template: Template | None,
    ):
        super().__init__(task)
        self.prompts = image_parameters(task, tokens, depth, std)
        self.input = task.text_input(template or task.template)

    def text(self) -> TextInput:
        """The template."""
        return self.input

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """The learned ones."""
        return list(self.prompts)
