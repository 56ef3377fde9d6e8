"""MaPLe (Khattak et al. 2023): image prompts are projections of the text prompts."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from adapt.clip.encoders import TextInput
from adapt.config import Depth, Words
from adapt.methods._deep_prompts import DeepPrompts, text_parameters, without_words
from adapt.methods._init_words import TEMPLATE, too_few_words
from adapt.task import FewShotTask


class Maple(DeepPrompts):
    """Text prompts of `n_ctx` tokens with linear maps into the image branch.

    Each of the first `prompt_depth` layers has a prompt and a map. The maps of the deeper layers start equal, as in the
    authors' code.
    ctx_init: as for ivlp.
    """

    def __init__(
        self, task: FewShotTask, *, n_ctx: PositiveInt, prompt_depth: Depth, ctx_init: Words, init_std: NonNegativeFloat
    ):
        super().__init__(task)
        widths = task.backbone.widths
        self.text_list = text_parameters(task, ctx_init, n_ctx, prompt_depth, init_std)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            first, deeper = (nn.Linear(widths["text"], widths["image"]) for _ in range(2))
        self.maps = nn.ModuleList(
            [first, *(nn.Linear(widths["text"], widths["image"]) for _ in range(prompt_depth - 1))]
        )
        for layer in self.maps[1:]:
            layer.load_state_dict(deeper.state_dict())
        self.maps.to(task.backbone.device)
        self.input = without_words(task, ctx_init, n_ctx)

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse more tokens than words to start from."""
        if config.ctx_init != TEMPLATE and len(config.ctx_init.split()) < config.n_ctx:
            raise ValueError(too_few_words(config.ctx_init, n_ctx=config.n_ctx))

    def text(self) -> TextInput:
        """Return the class texts without the tokens that the prompt replaces."""
        return self.input

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the learned text prompts."""
        return list(self.text_list)

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the projected text prompts."""
        return [layer(prompt) for layer, prompt in zip(self.maps, self.text_list, strict=True)]
