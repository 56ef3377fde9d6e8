"""What a method is given: the backbone, the classes in words, and what the teacher says of them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from adapt.clip import Backbone
from adapt.encoders import TextInput, split_shared


@dataclass(frozen=True)
class Task:
    """One dataset under one seed, seen from a method."""

    backbone: Backbone
    template: str
    classes: list[str]
    teacher: Float[Tensor, "c f"]  # normalised class embeddings of the frozen model, over the template ensemble
    seed: int

    def words(self, template: str) -> TextInput:
        """The classes in a template, tokenised."""
        tokens = self.backbone.tokenize([template.format(name) for name in self.classes])
        return split_shared(self.backbone.text, tokens)

    @cached_property
    def text(self) -> TextInput:
        """The classes in the dataset's own template."""
        return self.words(self.template)

    @cached_property
    @torch.no_grad()
    def handcrafted(self) -> Float[Tensor, "c f"]:
        """The frozen model's normalised class embeddings in the dataset's own template."""
        return F.normalize(self.backbone.encode_text(self.text), dim=-1)
