"""Which classes are taken together."""

import pytest

from adapt.groups import group


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((3,), [(1, 3)]),
        ((3, 4, 5), [(3, 5)]),
        ((3,) * 40 + (4,) * 40, [(40, 3), (40, 4)]),
        ((3,) * 40 + (4,) * 40 + (5, 6), [(40, 3), (40, 4), (2, 6)]),
        ((3,) * 20 + (4,) * 2, [(22, 4)]),
    ],
)
def test_classes_are_grouped_by_length_where_padding_would_cost_more(lengths, expected):
    assert group(lengths) == expected
