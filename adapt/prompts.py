"""Learned prompt tokens of both branches; every layer has its own prompt length."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

BRANCHES = ("text", "image")


class Prompts(nn.Module):
    """Prompt tokens by branch, `tokens[branch]` [n, d], sorted by layer.

    `slots[branch]` [n, 2] identifies the tokens. A slot is (layer, token): the token's layer and its initial number in
    that layer. So a token keeps its slot when others are removed. Removed tokens are deleted from both tensors.
    """

    def __init__(
        self,
        tokens: Mapping[str, Float[Tensor, "n d"]],
        slots: Mapping[str, Int[Tensor, "n 2"]],
        layers: Mapping[str, int],
    ):
        super().__init__()
        self.tokens = nn.ParameterDict([(branch, nn.Parameter(tokens[branch])) for branch in BRANCHES])
        self.slots = {branch: slots[branch].cpu() for branch in BRANCHES}
        self.layers = dict(layers)

    @classmethod
    def initialise(
        cls, lengths: Mapping[str, Sequence[int]], widths: Mapping[str, int], std: float, seed: int
    ) -> "Prompts":
        """Draw `lengths[branch][layer]` tokens per layer from N(0, std²) (convention)."""
        generator = torch.Generator().manual_seed(seed)
        slots, tokens = {}, {}
        for branch in BRANCHES:
            pairs = [(layer, token) for layer, length in enumerate(lengths[branch]) for token in range(length)]
            slots[branch] = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
            tokens[branch] = torch.randn(len(pairs), widths[branch], generator=generator) * std
        return cls(tokens, slots, layers={branch: len(lengths[branch]) for branch in BRANCHES})

    def lengths(self, branch: str) -> list[int]:
        """Return the number of tokens at each layer of a branch."""
        return torch.bincount(self.slots[branch][:, 0], minlength=self.layers[branch]).tolist()

    def count(self) -> int:
        """Return the number of tokens in both branches."""
        return sum(len(slots) for slots in self.slots.values())

    def by_layer(self, branch: str) -> list[Float[Tensor, "t d"]]:
        """Return the tokens of each layer (possibly 0), as the encoders take them."""
        return list(self.tokens[branch].split(self.lengths(branch)))

    def split(self, branch: str, values: Float[Tensor, " n"] | None) -> list[Tensor] | None:
        """Split one value per token, such as the gates, by layer."""
        return None if values is None else list(values.split(self.lengths(branch)))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a prompt file holds."""
        tokens = {f"{branch}.tokens": self.tokens[branch].detach().cpu().contiguous() for branch in BRANCHES}
        return tokens | {f"{branch}.slots": self.slots[branch] for branch in BRANCHES}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], layers: Mapping[str, int]) -> "Prompts":
        """Rebuild the prompts from the result of `to_tensors`."""
        parts = [{branch: tensors[f"{branch}.{part}"] for branch in BRANCHES} for part in ("tokens", "slots")]
        return cls(*parts, layers=layers)


def uniform_lengths(total: int, layers: Mapping[str, int]) -> dict[str, list[int]]:
    """Spread `total` tokens evenly over all layers of both branches.

    The first layers get the remainder. At each layer, the text branch is served before the image branch (ours).
    """
    places = sorted((layer, BRANCHES.index(branch), branch) for branch in BRANCHES for layer in range(layers[branch]))
    each, rest = divmod(total, len(places))
    lengths = {branch: [each] * layers[branch] for branch in BRANCHES}
    for layer, _, branch in places[:rest]:
        lengths[branch][layer] += 1
    return lengths
