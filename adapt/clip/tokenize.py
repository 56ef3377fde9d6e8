"""Tokenize class names: one text per class, refused if the model would cut it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from adapt.errors import UserError

if TYPE_CHECKING:
    from adapt.clip.backbone import Backbone


def tokenize(backbone: "Backbone", classes: Sequence[str], write: Callable[[str], str]) -> Int[Tensor, "c s"]:
    """Tokenize one text per class, `write(name)`.

    Raises: UserError with the first class whose text is longer than the model's context. The tokenizer would cut the
        text, so that the texts of two classes could become equal.
    """
    texts = [write(name) for name in classes]
    tokens = backbone.tokenize(texts)
    limit = tokens.shape[1]
    for label in (tokens.argmax(dim=1) == limit - 1).nonzero().flatten().tolist():  # full: it fits, or it was cut
        if (count := length(backbone, texts[label], limit)) > limit:
            if (alone := length(backbone, write("a"), limit)) > limit:
                raise UserError(
                    f"the words around the class names have {alone} tokens even with the shortest possible name, but "
                    f"{backbone.name} reads only {limit}; use a shorter template or context"
                )
            raise UserError(
                f"class {classes[label]!r} has {count} tokens with the words around it, but {backbone.name} reads "
                f"only {limit}; give it a shorter name (classes: in dataset.yaml), or use a shorter template or context"
            )
    return tokens


def length(backbone: "Backbone", text: str, least: int) -> int:
    """Return a text's number of tokens, start and end included, without any limit."""
    room = 2 * least
    while (count := int(backbone.tokenizer([text], context_length=room).argmax()) + 1) == room:
        room *= 2
    return count
