"""CoOp (Zhou et al. 2022): the words around the class name are learned."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from adapt.clip.encoders import NO_INJECTION, Injection, TextInput, embed, split_prefix, to_text_input
from adapt.config import Words
from adapt.methods._init_words import embed_words, opening, random_tokens, written
from adapt.methods._two_tower import Towers
from adapt.task import FewShotTask

ClassPlace = Literal["end", "middle", "front"]


class Coop(Towers):
    """`tokens` learned context tokens in the text, as ordinary tokens all the way up; null: as many as `words` have.

    One context for all classes before the class name is part of what they share and is encoded once; with the class
    name in front or in the middle, or with a context for each class, every class's text is encoded in full.
    words: what the context starts from, in its last tokens (`template`: the dataset's); the others start as N(0, std²).
    """

    place = 1

    def __init__(
        self,
        task: FewShotTask,
        *,
        tokens: PositiveInt | None,
        words: Words | None,
        class_place: ClassPlace,
        class_specific: bool,
        std: NonNegativeFloat,
    ):
        super().__init__(task)
        backbone, classes = task.backbone, len(task.classes)
        start = embed_words(backbone, opening(task, words or ""))
        tokens = tokens or len(start)
        shape = (classes, tokens) if class_specific else (tokens,)
        context = random_tokens((*shape, backbone.widths["text"]), std, task)
        start = start[-tokens:]
        context[..., tokens - len(start) :, :] = start
        self.context = nn.Parameter(context)
        self.shared = class_place == "end" and not class_specific
        texts = task.tokenize(lambda name: written(name, tokens, class_place))
        names = backbone.tokenize(task.classes).argmax(dim=1) - 1  # tokens of each name
        self.slots = slots(names, tokens, class_place)
        if self.shared:
            self.input = split_prefix(backbone.text, texts, n_ctx=tokens)
        else:
            self.input = to_text_input(embed(backbone.text, texts), texts.argmax(dim=1), n_prefix=1)
            lengths = torch.tensor(self.input.lengths, device=texts.device)
            starts = lengths.cumsum(0) - lengths - 1  # the start-of-text token is shared
            self.places = (starts[:, None] + self.slots).flatten()

    @classmethod
    def agree(cls, settings: Any) -> None:
        """Refuse neither words nor tokens, and more words than tokens."""
        words = (settings.words or "").split()
        if settings.tokens is None and not words:
            raise ValueError("tokens: null takes as many tokens as words: has, which is null too; set one of them")
        if settings.tokens is not None and len(words) > settings.tokens:
            raise ValueError(f"words: {settings.words!r} has {len(words)} words, more than tokens: {settings.tokens}")

    def positioned(self) -> Float[Tensor, "... t d"]:
        """The context with the embeddings of its positions."""
        return self.context + self.task.backbone.text.positional_embedding[self.slots]

    def text(self) -> TextInput:
        """The classes' own tokens after the context, or all of the text with the context in its place."""
        if self.shared:
            return self.input
        values = self.positioned().expand(*self.slots.shape, -1).flatten(0, 1)
        return self.input._replace(own=self.input.suffixes.index_copy(0, self.places, values))

    def stream(self, branch: str) -> Injection:
        """A context that all classes share; whatever else there is stands in the text."""
        if branch == "image" or not self.shared:
            return NO_INJECTION
        return Injection([self.positioned()[0], *[None] * (self.task.backbone.layers["text"] - 1)])

    def lengths(self) -> dict[str, list[int]]:
        """The context at the first layer of the text branch."""
        found = super().lengths()
        found["text"][0] = self.context.shape[-2]
        return found


def slots(names: Int[Tensor, " c"], tokens: int, class_place: ClassPlace) -> Int[Tensor, "c t"]:
    """The positions of the context's tokens in each class's text, for names of so many tokens."""
    before = {"end": tokens, "middle": tokens // 2, "front": 0}[class_place]
    place = torch.arange(1, tokens + 1, device=names.device)  # after the start-of-text token
    return place + names[:, None] * (place > before)
