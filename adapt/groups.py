"""Classes of the same length together: how attention over texts of different lengths goes without much padding.

Axis letters as in adapt/encoders.py: c classes, s sequence, n tokens of all classes, d width, h heads, e width of a
head, m alternatives.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from adapt.blocks import Keys, causal_bias, read

GROUP = 32  # tokens of padding that are no dearer than a group more


class Memory(NamedTuple):
    """What a layer's own tokens attend to beside themselves; alternatives with weights where a context is mixed."""

    keys: list[Keys]  # [h, s, e]; the bias, [s] or None, is the context's
    weights: Tensor | None = None


class Group(NamedTuple):
    """Classes whose own tokens attention takes together; the shorter ones are padded with their last token."""

    shape: tuple[int, int]  # classes, tokens of each
    last: Int[Tensor, " c"]  # where each class ends
    causal: Float[Tensor, "s s"]

    def read(self, own: Keys, q: Float[Tensor, "c h s e"], seen: Memory, last: bool) -> Float[Tensor, "n d"]:
        """Every token reads all that is shared, and of its class what comes before it; if `last`, only the ends do."""
        keys = [self.join(shared, own) for shared in seen.keys]
        biases = [self.bias(shared) for shared in seen.keys]
        if last:
            q = q.take_along_dim(self.last[:, None, None, None], dim=2)
            biases = [bias[self.last][:, None, None] for bias in biases]
        keys = [Keys(k, v, bias) for (k, v), bias in zip(keys, biases, strict=True)]
        return read(q, keys, seen.weights).flatten(0, 1)

    def join(self, shared: Keys, own: Keys) -> tuple[Tensor, Tensor]:
        """Shared keys and values before the classes' own."""
        count = len(own.k)
        k = torch.cat([shared.k.expand(count, -1, -1, -1), own.k], dim=-2)
        v = torch.cat([shared.v.expand(count, -1, -1, -1), own.v], dim=-2)
        return k, v

    def bias(self, shared: Keys) -> Float[Tensor, "q s"]:
        """What is added to the logits: the gates of what is shared, the causal mask of what is a class's own."""
        gate = shared.k.new_zeros(shared.k.shape[-2]) if shared.bias is None else shared.bias
        return torch.cat([gate.expand(len(self.causal), -1), self.causal], dim=-1)


class Groups:
    """Classes in groups of about the same length, one group after the other."""

    def __init__(self, lengths: list[int], like: Tensor):
        sizes = torch.tensor(lengths)
        by_length = sizes.argsort(stable=True)
        shapes = group(tuple(sorted(lengths)))
        padded = torch.tensor([tokens for _, tokens in shapes]).repeat_interleave(torch.tensor([c for c, _ in shapes]))
        at = torch.cat([torch.arange(tokens).repeat(classes) for classes, tokens in shapes])
        first, last = (sizes.cumsum(0) - sizes)[by_length], (sizes - 1)[by_length]
        tokens = first.repeat_interleave(padded) + at.minimum(last.repeat_interleave(padded))
        self.tokens = tokens.to(like.device)  # in the classes' own parts
        self.ends = (padded.cumsum(0) - padded + last).to(like.device)
        self.order = by_length.argsort().to(like.device)
        lasts = last.to(like.device).split([classes for classes, _ in shapes])
        self.groups = [
            Group(shape, ends, causal_bias(shape[1], like)) for shape, ends in zip(shapes, lasts, strict=True)
        ]

    def read(self, own: Keys, q: Float[Tensor, "h n e"], seen: Memory, last: bool) -> Float[Tensor, "_ d"]:
        """What the tokens of all groups read, see `Group.read`."""
        rows = zip(self.groups, *(self.split(part) for part in (own.k, own.v, q)), strict=True)
        return torch.cat([group.read(Keys(k, v), q, seen, last) for group, k, v, q in rows])

    def split(self, x: Float[Tensor, "h n e"]) -> list[Float[Tensor, "c h s e"]]:
        """The groups' parts."""
        parts = x.movedim(0, 1).split([classes * tokens for (classes, tokens), *_ in self.groups])
        return [part.unflatten(0, group.shape).transpose(1, 2) for part, group in zip(parts, self.groups, strict=True)]


@cache
def group(lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Lengths in ascending order, cut into groups of (number, length of the longest) with the least padding.

    A group more counts as much as GROUP tokens of padding.
    """
    cuts = [i for i in range(len(lengths)) if i == 0 or lengths[i] != lengths[i - 1]] + [len(lengths)]
    best: list[tuple[int, list[tuple[int, int]]]] = [(0, [])]  # the cost of the classes before each cut, and how
    for j in range(1, len(cuts)):
        longest = lengths[cuts[j] - 1]
        ways = [
            (cost + GROUP + (cuts[j] - cuts[i]) * longest, [*shapes, (cuts[j] - cuts[i], longest)])
            for i, (cost, shapes) in enumerate(best)
        ]
        best.append(min(ways))
    return best[-1][1]
