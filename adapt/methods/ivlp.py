"""IVLP, independent vision-language prompting (Rasheed et al. 2023): deep prompts in both branches, apart."""

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
    """`n_ctx_text` and `n_ctx_vision` prompts at each of the first `prompt_depth` layers of their branches.

    ctx_init: the words before the class name; the first prompt starts from its first tokens and takes their place.
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
        """Refuse more tokens than there are words to start from."""
        if config.ctx_init != TEMPLATE and len(config.ctx_init.split()) < config.n_ctx_text:
            raise ValueError(too_few_words(config.ctx_init, n_ctx_text=config.n_ctx_text))

    def text(self) -> TextInput:
        """The words that no prompt replaces."""
        return self.input

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """The learned ones."""
        return list(self.text_list)

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """The learned ones."""
        return list(self.image_list)
