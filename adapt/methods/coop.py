"""CoOp (Zhou et al. 2022): learned context tokens around the class name."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from adapt.clip.encoders import NO_INJECTION, Injection, TextInput, embed, split_prefix, to_text_input
from adapt.config import Words
from adapt.methods._init_words import embed_words, init_words, random_tokens, text_with_context
from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask

ClassTokenPosition = Literal["end", "middle", "front"]


class Coop(TwoTower):
    """`n_ctx` learned context tokens, which are ordinary tokens in all text layers.

    If all classes share one context before the class name, it is part of their common prefix and is encoded once. If
    the class name is in front or in the middle, or if each class has a context, every class's text is encoded in full.
    n_ctx: None for as many tokens as `ctx_init` has.
    ctx_init: the words that the last context tokens start from (`template`: those of the dataset's template); the other
        tokens start as N(0, init_std²).
    class_token_position: position of the class name; csc: a separate context for every class.
    """

    insert_at = 1

    def __init__(
        self,
        task: FewShotTask,
        *,
        n_ctx: PositiveInt | None,
        ctx_init: Words | None,
        class_token_position: ClassTokenPosition,
        csc: bool,
        init_std: NonNegativeFloat,
    ):
        super().__init__(task)
        backbone, classes = task.backbone, len(task.classes)
        start = embed_words(backbone, init_words(task, ctx_init or ""))
        n_ctx = n_ctx or len(start)
        shape = (classes, n_ctx) if csc else (n_ctx,)
        context = random_tokens((*shape, backbone.widths["text"]), init_std, task)
        start = start[-n_ctx:]
        context[..., n_ctx - len(start) :, :] = start
        self.context = nn.Parameter(context)
        self.shared = class_token_position == "end" and not csc
        texts = task.tokenize(lambda name: text_with_context(name, n_ctx, class_token_position))
        names = backbone.tokenize(task.classes).argmax(dim=1) - 1  # number of tokens of each name
        positions = context_positions(names, n_ctx, class_token_position)
        self.positions = positions.to(backbone.device)
        if self.shared:
            self.input = split_prefix(backbone.text, texts, n_ctx=n_ctx)
        else:
            self.input = to_text_input(embed(backbone.text, texts), texts.argmax(dim=1), n_prefix=1)
            lengths = torch.tensor(self.input.lengths)
            starts = lengths.cumsum(0) - lengths - 1  # the start-of-text token is shared
            self.places = (starts[:, None] + positions).flatten().to(backbone.device)

    @classmethod
    def validate_config(cls, config: Any, layers: Mapping[str, int]) -> None:
        """Refuse settings without ctx_init and n_ctx, or with more words than tokens."""
        words = (config.ctx_init or "").split()
        if config.n_ctx is None and not words:
            raise ValueError("n_ctx: null means as many tokens as ctx_init has, but that is null too; set one of them")
        if config.n_ctx is not None and len(words) > config.n_ctx:
            raise ValueError(f"ctx_init: {config.ctx_init!r} has {len(words)} words, more than n_ctx: {config.n_ctx}")

    def positioned(self) -> Float[Tensor, "... t d"]:
        """Return the context plus its positional embeddings."""
        return self.context + self.task.backbone.text.positional_embedding[self.positions]

    def text(self) -> TextInput:
        """Return the class texts after a shared context, or full texts with the context."""
        if self.shared:
            return self.input
        values = self.positioned().expand(*self.positions.shape, -1).flatten(0, 1)
        return self.input._replace(suffixes=self.input.suffixes.index_copy(0, self.places, values))

    def injection(self, branch: str) -> Injection:
        """Return the context that all classes share; any other one is part of the text."""
        if branch == "image" or not self.shared:
            return NO_INJECTION
        return Injection([self.positioned()[0], *[None] * (self.task.backbone.layers["text"] - 1)])

    def lengths(self) -> dict[str, list[int]]:
        """Return the context's length at the first layer of the text branch."""
        found = super().lengths()
        found["text"][0] = self.context.shape[-2]
        return found


def context_positions(
    names: Int[Tensor, " c"], n_ctx: int, class_token_position: ClassTokenPosition
) -> Int[Tensor, "c t"]:
    """Return the positions of the context's tokens in each class's text.

    names: the number of tokens of each class name.
    """
    before = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[class_token_position]
    place = torch.arange(1, n_ctx + 1, device=names.device)  # after the start-of-text token
    return place + names[:, None] * (place > before)
