"""Sequence packing: the suffixes of several classes share one row.

Attention runs over whole rows, and a mask keeps the classes of a row apart. Axis letters as in adapt/clip/encoders.py:
c classes, s sequence, h heads, e width of a head; r rows, w tokens of a row, n = r·w.
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

ROW_LENGTH = 64  # tokens per row, about; a mask discards more of longer rows, shorter rows read more prefix copies
MAX_CANDIDATES = 16  # numbers of rows to try, about
ALIGNED = 16  # the row stride of a mask is a multiple of this many elements: fused kernels copy other masks


class Layout(NamedTuple):
    """Positions of the classes' tokens in rows that begin with a prefix of s tokens."""

    tokens: Int[Tensor, " n"]  # indices into the concatenated suffixes
    ends: Int[Tensor, " c"]  # index of each class's last token in the flattened rows, without their prefixes
    mask: Bool[Tensor, "r s+w s+w"]  # True where a token sees another: the prefix and its own class, up to itself


class Packing:
    """Classes of given lengths, packed in rows that begin with a prefix of `s` tokens."""

    def __init__(self, lengths: tuple[int, ...], s: int, device: torch.device, row_length: int):
        self.s = s
        self.tokens, ends, self.seen = build_layout(lengths, s, device, row_length)
        self.shape = len(self.seen), (width := self.seen.shape[1] - s)
        self.ends = s + ends  # each class's last token in the prefix followed by the flattened rows
        self.ends_in_rows = ends + s * (ends // width + 1)  # the same in the flattened rows with their prefixes
        self.masks: dict[tuple[int, int, torch.dtype], Tensor] = {}

    def in_rows(self, x: Float[Tensor, "3 h n e"]) -> Float[Tensor, "3 r h w e"]:
        """Reshape the packed suffixes to rows."""
        return x.unflatten(2, self.shape).transpose(1, 2)

    def mask(self, insert_at: int, t: int, dtype: torch.dtype) -> Float[Tensor, "r 1 q k"]:
        """Return the attention mask over all tokens and `t` prompt tokens, for all heads.

        It is added to the logits: 0 where a token sees another, else -inf. The first `insert_at` tokens of the prefix
        do not see the prompt. A mask is built once for all layers and steps.
        """
        if (insert_at, t, dtype) not in self.masks:
            rows, n, _ = self.seen.shape
            room = torch.zeros(rows, 1, n, math.ceil((n + t) / ALIGNED) * ALIGNED, dtype=dtype, device=self.seen.device)
            room[:, 0, :, :n].masked_fill_(~self.seen, float("-inf"))
            room[:, :, :insert_at, n:] = float("-inf")
            self.masks[insert_at, t, dtype] = room[..., : n + t]
        return self.masks[insert_at, t, dtype]


# every step uses all chunks of classes again, so the cache has to hold all of them
_pack = lru_cache(maxsize=1024)(Packing)


def pack(lengths: Sequence[int], s: int, device: torch.device) -> Packing:
    """Return the packing of classes of these lengths, built once."""
    return _pack(tuple(lengths), s, device, ROW_LENGTH)


def build_layout(lengths: tuple[int, ...], s: int, device: torch.device, row_length: int) -> Layout:
    """Build the layout of classes of these lengths.

    Shorter rows are padded with copies of the first token.
    """
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

    The row counts to try are between the lower bound (all tokens / row length) and the number that next-fit-decreasing
    needs.
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
    """Assign classes to `count` rows, the longest first, each to the emptiest row."""
    rows: list[list[int]] = [[] for _ in range(count)]
    emptiest_first = [(0, i) for i in range(count)]
    for c in longest_first:
        filled, i = emptiest_first[0]
        heapq.heapreplace(emptiest_first, (filled + lengths[c], i))
        rows[i].append(c)
    return rows


def padded_size(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens in all rows, padding included."""
    return len(rows) * max(sum(lengths[c] for c in row) for row in rows)
