"""CLIP-LoRA (Zanella and Ben Ayed 2024): low-rank adapters on queries, keys and values of both towers."""

import math
from collections.abc import Mapping
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapt.blocks import Adapter
from adapt.encoders import Stream, TextInput
from adapt.methods._towers import Towers
from adapt.params import Count, Share, Template, Weight
from adapt.prompts import BRANCHES
from adapt.task import Task

PROJECTIONS = ("q", "k", "v")


class ClipLora(Towers):
    """W·x + (alpha/√rank)·B·A·dropout(x) for the projections W to queries, keys and values of every layer.

    A starts as U(±1/√d), B as 0. Queries, keys and values drop apart; classes share what is dropped of the tokens that
    they share (ours: the authors encode those once a class).
    """

    enters_image = True

    def __init__(self, task: Task, *, rank: Count, alpha: Weight, dropout: Share, template: Template | None):
        super().__init__(task)
        device = task.backbone.device
        self.generator = torch.Generator(device).manual_seed(task.seed)
        self.factor, self.dropout = alpha / math.sqrt(rank), dropout
        start = torch.Generator().manual_seed(task.seed)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for branch, projection in product(BRANCHES, PROJECTIONS):
            layers, d = task.backbone.layers[branch], task.backbone.widths[branch]
            bound = 1 / math.sqrt(d)
            down = (torch.rand(layers, rank, d, generator=start) * 2 - 1) * bound
            self.down[f"{branch}_{projection}"] = nn.Parameter(down.to(device))
            self.up[f"{branch}_{projection}"] = nn.Parameter(torch.zeros(layers, d, rank, device=device))
        self.input = task.words(template or task.template)

    def text(self) -> TextInput:
        """The template."""
        return self.input

    def stream(self, branch: str) -> Stream:
        """An adapter a layer."""
        return Stream(adapters=[self.adapter(branch, layer) for layer in range(self.task.backbone.layers[branch])])

    def adapter(self, branch: str, layer: int) -> Adapter:
        """What is added to queries, keys and values of a layer."""

        def add(y: Float[Tensor, "... d"]) -> Float[Tensor, "... 3*d"]:
            parts = [
                self.drop(y) @ self.down[f"{branch}_{name}"][layer].T @ self.up[f"{branch}_{name}"][layer].T
                for name in PROJECTIONS
            ]
            return self.factor * torch.cat(parts, dim=-1)

        return add

    def drop(self, y: Tensor) -> Tensor:
        """Dropout while training, by a generator of its own, so that a resumed run repeats it."""
        if not self.training or not self.dropout:
            return y
        keep = 1 - self.dropout
        return y * torch.empty_like(y).bernoulli_(keep, generator=self.generator) / keep

    def progress(self) -> dict[str, Tensor]:
        """The adapters and where the generator stands."""
        return self.tensors() | {"generator": self.generator.get_state()}

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with both."""
        self.load({name: value for name, value in tensors.items() if name != "generator"})
        self.generator.set_state(tensors["generator"])
