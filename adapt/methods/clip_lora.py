"""CLIP-LoRA (Zanella and Ben Ayed 2024): low-rank adapters on queries, keys and values of both towers."""

import math
from collections.abc import Mapping
from itertools import product

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.clip.attention import Adapter
from adapt.clip.encoders import Injection, TextInput
from adapt.config import Fraction, Template
from adapt.data.loader import Batch
from adapt.methods._two_tower import TwoTower
from adapt.prompts import BRANCHES
from adapt.task import FewShotTask

PROJECTIONS = ("q", "k", "v")


class ClipLora(TwoTower):
    """W·x + (alpha/√r)·B·A·dropout(x) for the projections W to queries, keys and values of every layer.

    A starts as U(±1/√d), B as 0. Queries, keys and values drop apart; classes that are encoded at a time share
    what is dropped of the tokens that they share (ours: the authors encode those once a class).
    """

    modifies_image_tower = True

    def __init__(
        self,
        task: FewShotTask,
        *,
        r: PositiveInt,
        alpha: NonNegativeFloat,
        dropout_rate: Fraction,
        template: Template | None,
    ):
        super().__init__(task)
        device = task.backbone.device
        self.factor, self.dropout, self.draws = alpha / math.sqrt(r), dropout_rate, 0
        start = torch.Generator().manual_seed(task.seed)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for branch, projection in product(BRANCHES, PROJECTIONS):
            layers, d = task.backbone.layers[branch], task.backbone.widths[branch]
            bound = 1 / math.sqrt(d)
            down = (torch.rand(layers, r, d, generator=start) * 2 - 1) * bound
            self.down[f"{branch}_{projection}"] = nn.Parameter(down.to(device))
            self.up[f"{branch}_{projection}"] = nn.Parameter(torch.zeros(layers, d, r, device=device))
        self.input = task.text_input(template or task.template)

    def text(self) -> TextInput:
        """The template."""
        return self.input

    def injection(self, branch: str) -> Injection:
        """An adapter a layer."""
        return Injection(adapters=[self.adapter(branch, layer) for layer in range(self.task.backbone.layers[branch])])

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
        """Dropout while training."""
        return F.dropout(y, self.dropout, self.training)

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Cross-entropy. What is dropped follows from seed and step, so that a resumed run repeats it.

        It is torch's own generator that draws: where classes are encoded again in the backward pass, torch sets that
        one back, and only that one. Without dropout it is left alone: a GPU refuses to seed it in a recorded step.
        """
        if not self.dropout:
            return super().losses(batch)
        self.draws += 1
        device = self.task.backbone.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.task.seed * 1_000_003 + self.draws)
            return super().losses(batch)

    def has_fixed_steps(self) -> bool:
        """Not where dropout draws."""
        return not self.dropout

    def training_state(self) -> dict[str, Tensor]:
        """The adapters, and how many steps have drawn."""
        return self.to_tensors() | {"draws": torch.tensor(self.draws)}

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with both."""
        self.load_tensors({name: value for name, value in tensors.items() if name != "draws"})
        self.draws = int(tensors["draws"])
