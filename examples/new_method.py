"""Write a method of your own and compare it with others.

    python examples/new_method.py

The method learns a vector for each class and adds it to the class's hand-crafted text embedding. CONTRIBUTING.md tells
how to add a method to the package itself, with settings by preset and in the pipeline.
"""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

import adapt


class Shift(adapt.TwoTower):
    """Zero-shot CLIP with a learned shift of every class embedding, times `strength`."""

    def __init__(self, task: adapt.FewShotTask, *, strength: NonNegativeFloat):
        super().__init__(task)
        self.strength = strength
        self.shift = nn.Parameter(torch.zeros_like(task.handcrafted))  # [classes, features]

    def text_features(self) -> Tensor:
        """Return the shifted class embeddings, of length one."""
        return F.normalize(self.task.handcrafted + self.strength * self.shift, dim=-1)


adapt.register_method("shift", Shift)
clip = adapt.load_clip("pocket")
data = adapt.load_dataset("digits").few_shot(shots=16, seed=1)
settings = {
    "zero_shot": {},
    "coop": {},
    "shift": {"strength": 1.0, "optimizer": {"lr": 0.1, "batch_size": 16, "epochs": 8}},
}
for name, changed in settings.items():
    model = adapt.fit(name, clip, data, progress=False, **changed)
    print(f"{name:9} {adapt.evaluate(model, data.test):.3f}")
