"""Sequence packing: the suffixes of several classes stand in one row, which attention takes as a whole.

A mask keeps the classes of a row apart. Axis letters as in adapt/clip/encoders.py: c classes, s sequence, h heads, e
width of a head; r rows, w tokens of a row, n = r·w.
"""

import heapq
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

ROW_LENGTH = 64  # tokens of a row, about: in wider ones the mask removes more, in narrower ones more copies are read
MAX_CANDIDATES = 16  # numbers of rows, about, of which the best is taken
ALIGNED = 16  # numbers between the rows of a mask, or multiples: fused kernels copy others


class Layout(NamedTuple):
    """Where the tokens of classes stand, in rows that a prefix of s tokens begins."""

    tokens: Int[Tensor, " n"]  # in the suffixes, one class after the other
    ends: Int[Tensor, " c"]  # where in the rows, less their prefixes, each class ends
    mask: Bool[Tensor, "r s+w s+w"]  # True where a token sees another: the prefix and its class, up to itself


class Packing:
    """Rows of classes with so many tokens each, after a prefix of `s` tokens that each row has."""

    def __init__(self, lengths: tuple[int, ...], s: int, device: torch.device, row_length: int):
        self.s = s
        self.tokens, ends, self.seen = build_layout(lengths, s, device, row_length)
        self.shape = len(self.seen), (width := self.seen.shape[1] - s)
        self.ends = s + ends  # where each class ends in the prefix and the suffixes, one after the other
        self.ends_in_rows = ends + s * (ends // width + 1)  # and in the rows with their prefixes, one after the other
        self.masks: dict[tuple[int, int, torch.dtype], Tensor] = {}

    def in_rows(self, x: Float[Tensor, "3 h n e"]) -> Float[Tensor, "3 r h w e"]:
        """The packed suffixes as rows."""
        return x.unflatten(2, self.shape).transpose(1, 2)

    def mask(self, insert_at: int, t: int, dtype: torch.dtype) -> Float[Tensor, "r 1 q k"]:
        """For all heads, what is added to the logits of all tokens and of a prompt's `t`: 0 where seen, else -inf.

        The first `insert_at` tokens of the prefix do not see the prompt. Made once, for all layers and steps.
        """
        if (insert_at, t, dtype) not in self.masks:
            rows, n, _ = self.seen.shape
            room = torch.zeros(rows, 1, n, math.ceil((n + t) / ALIGNED) * ALIGNED, dtype=dtype, device=self.seen.device)
            room[:, 0, :, :n].masked_fill_(~self.seen, float("-inf"))
            room[:, :, :insert_at, n:] = float("-inf")
            self.masks[insert_at, t, dtype] = room[..., : n + t]
        return self.masks[insert_at, t, dtype]


_pack = lru_cache(maxsize=1024)(Packing)  # chunks of classes come round every step, so there must be room for all


def pack(lengths: Sequence[int], s: int, device: torch.device) -> Packing:
    """The packing of such classes, made once."""
    return _pack(tuple(lengths), s, device, ROW_LENGTH)


def build_layout(lengths: tuple[int, ...], s: int, device: torch.device, row_length: int) -> Layout:
    """The layout of classes with so many tokens each; the shorter rows are padded with copies of the first token."""
    rows = assign_rows(lengths, row_length)
    places = torch.arange(sum(lengths)).split(lengths)
    tokens = pad_sequence([torch.cat([places[c] for c in row]) for row in rows], batch_first=True)
    sizes = torch.tensor(lengths)
    owners = pad_sequence(
        [torch.tensor(row).repeat_interleave(sizes[row]) for row in rows], batch_first=True, padding_value=-1
    )
    seen = torch.ones(len(rows), s + tokens.shape[1], s + tokens.shape[1], dtype=torch.bool).tril()
    seen[:, s:, s:] &= owners[:, :, None] == owners[:, None]
    ends = torch.empty(len(lengths), dtype=torch.long)
    for i, row in enumerate(rows):
        ends[row] = i * tokens.shape[1] + sizes[row].cumsum(0) - 1
    return Layout(tokens.flatten().to(device), ends.to(device), seen.to(device))


def assign_rows(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Assign classes to rows of about `row_length` tokens, minimising padding.

    We try row counts between the lower bound (all tokens / row length) and the number that first-fit-decreasing needs.
    """
    longest_first = sorted(range(len(lengths)), key=lambda c: -lengths[c])
    row_length = max(row_length, lengths[longest_first[0]])
    least, most, room = max(1, sum(lengths) // row_length), 0, 0
    for c in longest_first:
        if lengths[c] > room:
            most, room = most + 1, row_length
        room -= lengths[c]
    counts = range(most, least - 1, -max(1, (most - least) // MAX_CANDIDATES))
    return min(
        (balance_rows(lengths, longest_first, count) for count in counts), key=lambda rows: padded_size(lengths, rows)
    )


def balance_rows(lengths: Sequence[int], longest_first: Sequence[int], count: int) -> list[list[int]]:
    """Assign classes to `count` rows, each next longest class to the emptiest row."""
    rows: list[list[int]] = [[] for _ in range(count)]
    emptiest_first = [(0, i) for i in range(count)]
    for c in longest_first:
        filled, i = emptiest_first[0]
        heapq.heapreplace(emptiest_first, (filled + lengths[c], i))
        rows[i].append(c)
    return rows


def padded_size(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Tokens of all rows with their padding."""
    return len(rows) * max(sum(lengths[c] for c in row) for row in rows)
