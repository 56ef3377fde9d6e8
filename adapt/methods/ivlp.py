"""IVLP (Rasheed et al. 2023): independent vision-language prompting.

Both branches have deep prompts, independent of each other.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from adapt.clip.encoders import TextInput
from adapt.config import Depth, Words
from adapt.methods._deep_prompts import DeepPrompts, image_parameters, text_parameters, without_words
from adapt.methods._init_words import TEMPLATE, too_few_words
from adapt.task import FewShotTask


class Ivlp(DeepPrompts):
    """Deep prompts at the first `prompt_depth` layers of both branches.

    A text prompt has `n_ctx_text` tokens, an image prompt `n_ctx_vision`.
    ctx_init: the words before the class name; the first text prompt starts from their first tokens and replaces them.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        n_ctx_text: PositiveInt,
        n_ctx_vision: PositiveInt,
        prompt_depth: Depth,
        ctx_init: Words,
        init_std: NonNegativeFloat,
    ):
        super().__init__(task)
        self.text_list = text_parameters(task, ctx_init, n_ctx_text, prompt_depth, init_std)
        self.image_list = image_parameters(task, n_ctx_vision, prompt_depth, init_std)
        self.input = without_words(task, ctx_init, n_ctx_text)

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse more text tokens than words to start from."""
        if config.ctx_init != TEMPLATE and len(config.ctx_init.split()) < config.n_ctx_text:
            raise ValueError(too_few_words(config.ctx_init, n_ctx_text=config.n_ctx_text))

    def text(self) -> TextInput:
        """Return the class texts without the tokens that the prompt replaces."""
        return self.input

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the learned text prompts."""
        return list(self.text_list)

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the learned image prompts."""
        return list(self.image_list)
