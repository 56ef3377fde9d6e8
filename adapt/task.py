"""What a method is given: the backbone, the classes in words, and what the teacher says of them."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

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

    @cached_property
    def text(self) -> TextInput:
        """The classes in the dataset's own template, tokenised."""
        tokens = self.backbone.tokenize([self.template.format(name) for name in self.classes])
        return split_shared(self.backbone.model, tokens)
