"""Class names with the same tokens, which a CLIP cannot tell apart."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from torch import Tensor

from adapt.data.dataset import Dataset
from adapt.errors import UserError


def twins(tokenize: Callable[[list[str]], Tensor], classes: Sequence[str]) -> list[list[int]]:
    """Return groups of labels whose class names have the same tokens.

    Names too long for the context are skipped: `tokenize` refuses them.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    tokens = tokenize(list(classes))
    for label, row in enumerate(tokens.tolist()):
        if int(tokens[label].argmax()) < len(row) - 1:
            groups[tuple(row)].append(label)
    return [labels for labels in groups.values() if len(labels) > 1]


def check(tokenize: Callable[[list[str]], Tensor], dataset: Dataset) -> list[str]:
    """Raise UserError for classes whose names have the same tokens.

    CLIP cannot tell them apart and would never predict all but one of them.

    Returns: a sentence on each name that several classes are known to have (two of ImageNet's), which is allowed.
    """
    found = twins(tokenize, dataset.classes)
    if unknown := [labels for labels in found if dataset.classes[labels[0]] not in dataset.twins]:
        one, other = (f"{dataset.own_labels[label]!r} (class {label})" for label in unknown[0][:2])
        raise UserError(
            f"dataset {dataset.name}: {one} and {other} are the same words to CLIP, "
            f"{dataset.classes[unknown[0][0]]!r}; rename one of them, by classes: in dataset.yaml or where its name "
            "is given"
        )
    return [
        f"classes {' and '.join(map(str, labels))} are both called {dataset.classes[labels[0]]!r}: CLIP cannot tell "
        "them apart, so that one of them is never predicted"
        for labels in found
    ]
