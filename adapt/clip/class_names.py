"""Class names as a CLIP's tokenizer sees them: which texts are too long for it, which names are the same to it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from adapt.data.dataset import Dataset
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


def twins(tokenize: Callable[[list[str]], Tensor], classes: Sequence[str]) -> list[list[int]]:
    """The labels of classes whose names are the same tokens, by group; names that would be cut are `tokenize`'s."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    tokens = tokenize(list(classes))
    for label, row in enumerate(tokens.tolist()):
        if int(tokens[label].argmax()) < len(row) - 1:
            groups[tuple(row)].append(label)
    return [labels for labels in groups.values() if len(labels) > 1]


def check(tokenize: Callable[[list[str]], Tensor], dataset: Dataset) -> list[str]:
    """A sentence on each name that several classes are known to have (two of ImageNet's).

    Raises: UserError where other classes have the same words: to CLIP they are one, and all but one of them would never
        be predicted.
    """
    found = twins(tokenize, dataset.classes)
    if unknown := [labels for labels in found if dataset.classes[labels[0]] not in dataset.twins]:
        one, other = (f"{dataset.own_labels[label]!r} (class {label})" for label in unknown[0][:2])
        raise UserError(
            f"dataset {dataset.name}: {one} and {other} are the same words to CLIP, "
            f"{dataset.classes[unknown[0][0]]!r}; give one of them another name, by classes: in dataset.yaml or where "
            "it stands"
        )
    return [
        f"classes {' and '.join(map(str, labels))} are both called {dataset.classes[labels[0]]!r}: to CLIP they are "
        "one, so that one of them is never predicted"
        for labels in found
    ]
