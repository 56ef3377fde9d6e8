"""Class names as tokens: one text a class, refused where the model would cut it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from adapt.errors import UserError

if TYPE_CHECKING:
    from adapt.clip.backbone import Backbone


def tokenize(backbone: "Backbone", classes: Sequence[str], write: Callable[[str], str]) -> Int[Tensor, "c s"]:
    """The tokens of one text a class, `write(name)`.

    Raises: UserError that names the first class whose text is longer than the model reads. The tokenizer would cut it,
        so that two classes could become one.
    """
    texts = [write(name) for name in classes]
    tokens = backbone.tokenize(texts)
    limit = tokens.shape[1]
    for label in (tokens.argmax(dim=1) == limit - 1).nonzero().flatten().tolist():  # full: it fits, or it was cut
        if (count := length(backbone, texts[label], limit)) > limit:
            if (alone := length(backbone, write("a"), limit)) > limit:
                raise UserError(
                    f"the words around the class names have {alone} tokens with the shortest name, and {backbone.name} "
                    f"reads {limit}; use a shorter template or context"
                )
            raise UserError(
                f"class {classes[label]!r} has {count} tokens with the words around it, and {backbone.name} reads "
                f"{limit}; give it a shorter name (classes: in dataset.yaml), or use a shorter template or context"
            )
    return tokens


def length(backbone: "Backbone", text: str, least: int) -> int:
    """The tokens of a text, those of its start and end included, without any limit."""
    room = 2 * least
    while (count := int(backbone.tokenizer([text], context_length=room).argmax()) + 1) == room:
        room *= 2
    return count
