"""VPT, deep (Jia et al. 2022): prompts in the image tower alone."""

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from adapt.clip.encoders import TextInput
from adapt.config import ImageDepth, Template
from adapt.methods._deep_prompts import DeepPrompts, image_parameters
from adapt.task import FewShotTask


class Vpt(DeepPrompts):
    """`n_ctx` image prompt tokens at each of the first `prompt_depth` layers.

    template: of the class texts; None: the dataset's own.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        n_ctx: PositiveInt,
        prompt_depth: ImageDepth,
        init_std: NonNegativeFloat,
        template: Template | None,
    ):
        super().__init__(task)
        self.prompts = image_parameters(task, n_ctx, prompt_depth, init_std)
        self.input = task.text_input(template or task.template)

    def text(self) -> TextInput:
        """Return the classes in the template."""
        return self.input

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the learned image prompts."""
        return list(self.prompts)
