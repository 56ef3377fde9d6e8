"""The positions of the classes' tokens."""

import pytest
import torch

from adapt.clip.packing import ALIGNED, ROW_LENGTH, assign_rows, build_layout, pack, padded_size

CPU = torch.device("cpu")
NAMES = (5, 1, 3, 70, 2, 2, 9, 64, 4, 1) * 3


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [((3,), [[0]]), ((3, 4, 5), [[2, 1, 0]]), ((40, 10, 30, 20), [[0, 1], [2, 3]]), ((1, 200), [[1, 0]])],
)
def test_longest_classes_go_first_to_the_emptiest_row(lengths, expected):
    assert assign_rows(lengths, ROW_LENGTH) == expected


def test_rows_are_about_as_full():
    lengths = (5, 3, 4, 4, 9, 2, 3) * 40
    filled = [sum(lengths[c] for c in row) for row in assign_rows(lengths, ROW_LENGTH)]
    assert max(filled) - min(filled) <= 2


@pytest.mark.parametrize(
    "lengths", [(4,) * 160, (21,) * 100, (33,) * 100, (63,) * 100, (40, 20) * 50, (77, *(4,) * 99)]
)
def test_padding_is_a_tenth_at_the_most(lengths):
    assert padded_size(lengths, assign_rows(lengths, ROW_LENGTH)) <= 1.1 * sum(lengths)


def test_every_class_stands_in_one_row():
    assert sorted(c for row in assign_rows(NAMES, ROW_LENGTH) for c in row) == list(range(len(NAMES)))


def test_class_ends_after_its_tokens_in_order():
    layout, first = build_layout(NAMES, 0, CPU, ROW_LENGTH), 0
    for end, length in zip(layout.ends.tolist(), NAMES, strict=True):
        assert layout.tokens[end + 1 - length : end + 1].tolist() == list(range(first, first + length))
        first += length


def test_token_sees_its_class_up_to_itself_and_padding_only_itself_and_padding():
    layout = build_layout(NAMES, 0, CPU, ROW_LENGTH)
    owners = torch.full((layout.tokens.shape[0],), -1)
    for c, (end, length) in enumerate(zip(layout.ends.tolist(), NAMES, strict=True)):
        owners[end + 1 - length : end + 1] = c
    for row, seen in zip(owners.view(layout.mask.shape[:2]).tolist(), layout.mask.tolist(), strict=True):
        for i, mine in enumerate(row):
            assert seen[i] == [other == mine and j <= i for j, other in enumerate(row)]


def test_row_is_no_wider_than_asked_where_classes_are_short():
    assert build_layout((4,) * 160, 0, CPU, ROW_LENGTH).mask.shape == (10, ROW_LENGTH, ROW_LENGTH)


@pytest.mark.parametrize(("insert_at", "t"), [(0, 0), (0, 3), (1, 3), (2, 1)])
def test_mask_hides_other_classes_later_tokens_and_the_prompt_from_what_stands_before_it(insert_at, t):
    packing = pack(NAMES, 2, CPU)
    mask, n = packing.mask(insert_at, t, torch.float32), packing.seen.shape[1]
    assert mask.shape == (len(packing.seen), 1, n, n + t)
    expected = torch.cat([packing.seen, torch.ones(len(packing.seen), n, t, dtype=torch.bool)], dim=2)
    expected[:, :insert_at, n:] = False
    assert torch.equal(mask[:, 0], torch.zeros(expected.shape).masked_fill(~expected, float("-inf")))


def test_mask_is_made_once_and_lies_so_that_fused_kernels_take_it_as_it_is():
    mask = pack(NAMES, 2, CPU).mask(0, 3, torch.bfloat16)
    assert mask is pack(NAMES, 2, CPU).mask(0, 3, torch.bfloat16)
    assert all(stride % ALIGNED == 0 for stride in mask.stride()[:-1])
