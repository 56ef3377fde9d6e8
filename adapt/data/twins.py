"""Class names that are the same tokens to a CLIP."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from torch import Tensor

from adapt.data.dataset import Dataset
from adapt.errors import UserError


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
