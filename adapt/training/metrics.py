"""What predictions are worth."""

from collections import Counter
from collections.abc import Sequence

LEVEL = 0.01  # how often guessing may pass for more


def accuracy(predicted: Sequence[int], labels: Sequence[int]) -> float:
    """Top-1: the share of images whose most likely class is theirs."""
    return sum(guess == label for guess, label in zip(predicted, labels, strict=True)) / len(labels)


def at_chance(correct: int, labels: Sequence[int]) -> bool:
    """Whether so many correct predictions are no more than guessing gives: always the most frequent class (ours).

    By a one-sided binomial test at LEVEL; a method that has been tuned and is not better has learned nothing.
    """
    from scipy.special import bdtrc  # scipy.stats has a test of that name, and takes a second to import

    guessing = max(Counter(labels).values()) / len(labels)
    return bool(bdtrc(correct - 1, len(labels), guessing) > LEVEL)
