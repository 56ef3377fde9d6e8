"""The accuracy of predictions, and its comparison with chance."""

from collections import Counter
from collections.abc import Sequence

LEVEL = 0.01  # significance: the share of cases in which guessing may count as more than guessing


def accuracy(predicted: Sequence[int], labels: Sequence[int]) -> float:
    """Return the top-1 accuracy: the share of images whose predicted class is correct."""
    return sum(guess == label for guess, label in zip(predicted, labels, strict=True)) / len(labels)


def at_chance(correct: int, labels: Sequence[int]) -> bool:
    """Return whether the number of correct predictions is no better than guessing.

    Guessing means always predicting the most frequent class (ours). The decision is a one-sided binomial test at LEVEL.
    A tuned method that is not better than guessing has learned nothing.
    """
    from scipy.special import bdtrc  # scipy.stats has the test itself, but takes a second to import

    guessing = max(Counter(labels).values()) / len(labels)
    return bool(bdtrc(correct - 1, len(labels), guessing) > LEVEL)
