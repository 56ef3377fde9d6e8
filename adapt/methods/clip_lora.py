"""CLIP-LoRA (Zanella and Ben Ayed 2024): low-rank adapters in both towers."""

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
    """Low-rank adapters on the query, key and value projections of every layer.

    A projection W·x becomes W·x + (alpha/√r)·B·A·dropout(x). A starts as U(±1/√d), B as 0. Queries, keys and values
    have separate dropout masks. Classes that are encoded together have the same mask on the tokens that they share
    (ours: the authors encode those tokens once per class).
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
        """Return the classes in the template."""
        return self.input

    def injection(self, branch: str) -> Injection:
        """Return one adapter per layer."""
        return Injection(adapters=[self.adapter(branch, layer) for layer in range(self.task.backbone.layers[branch])])

    def adapter(self, branch: str, layer: int) -> Adapter:
        """Return the adapter that adds to the queries, keys and values of a layer."""

        def add(y: Float[Tensor, "... d"]) -> Float[Tensor, "... 3*d"]:
            parts = [
                self.drop(y) @ self.down[f"{branch}_{name}"][layer].T @ self.up[f"{branch}_{name}"][layer].T
                for name in PROJECTIONS
            ]
            return self.factor * torch.cat(parts, dim=-1)

        return add

    def drop(self, y: Tensor) -> Tensor:
        """Apply dropout while training."""
        return F.dropout(y, self.dropout, self.training)

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy.

        The dropout masks depend on seed and step alone, so that a resumed run repeats them. They are drawn from torch's
        global generator, the only one that torch resets where classes are encoded again in the backward pass. Without
        dropout this generator is not seeded, which a GPU refuses in a recorded step.
        """
        if not self.dropout:
            return super().losses(batch)
        self.draws += 1
        device = self.task.backbone.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.task.seed * 1_000_003 + self.draws)
            return super().losses(batch)

    def has_fixed_steps(self) -> bool:
        """Return False if there is dropout, which is random."""
        return not self.dropout

    def training_state(self) -> dict[str, Tensor]:
        """Return the adapters and the number of steps that drew dropout masks."""
        return self.to_tensors() | {"draws": torch.tensor(self.draws)}

    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the adapters and that number."""
        self.load_tensors({name: value for name, value in tensors.items() if name != "draws"})
        self.draws = int(tensors["draws"])
