"""Metrics: the accuracy, and whether it is more than guessing gives."""

import pytest

from adapt.training.metrics import accuracy, at_chance

TEN = [number % 10 for number in range(500)]
UNEVEN = [int(number < 100) for number in range(500)]


def test_accuracy_is_the_share_of_the_right():
    assert accuracy([0, 1, 2, 0], TEN[:4]) == 0.75


@pytest.mark.parametrize(("right", "flagged"), [(0, True), (50, True), (65, True), (80, False), (500, False)])
def test_what_guessing_may_give_is_flagged(right, flagged):
    """Guessing among ten classes gets 50 ± 6.7 of 500 right.

    More than 66 are rarer than 1 in 100.
    """
    assert at_chance(right, TEN) is flagged


def test_always_the_most_frequent_class_is_flagged():
    assert at_chance(400, UNEVEN) and not at_chance(430, UNEVEN)
