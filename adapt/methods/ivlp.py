"""IVLP, independent vision-language prompting (Rasheed et al. 2023): deep prompts in both branches, apart."""

from typing import Any

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from adapt.clip.encoders import TextInput
from adapt.config import Depth, Words
from adapt.methods._deep_prompts import Deep, image_parameters, text_parameters, without_words
from adapt.methods._init_words import TEMPLATE
from adapt.task import FewShotTask


class Ivlp(Deep):
    """`text_tokens` and `image_tokens` prompts at each of the first `depth` layers of their branches.

    words: the text around the class name; the first prompt starts from its first tokens and takes their place.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        text_tokens: PositiveInt,
        image_tokens: PositiveInt,
        depth: Depth,
        words: Words,
        std: NonNegativeFloat,
    ):
        super().__init__(task)
        self.text_list = text_parameters(task, words, text_tokens, depth, std)
        self.image_list = image_parameters(task, image_tokens, depth, std)
        self.input = without_words(task, words, text_tokens)

    @classmethod
    def agree(cls, settings: Any) -> None:
        """Refuse more tokens than there are words to start from."""
        if settings.words != TEMPLATE and len(settings.words.split()) < settings.text_tokens:
            raise ValueError(
                f"words: {settings.words!r} has fewer words than text_tokens: {settings.text_tokens}, "
                "which start from them"
            )

    def text(self) -> TextInput:
        """The words that no prompt replaces."""
        return self.input

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """The learned ones."""
        return list(self.text_list)

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """The learned ones."""
        return list(self.image_list)
