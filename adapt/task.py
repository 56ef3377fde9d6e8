"""The input of a method: backbone, class names and the teacher's class embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from adapt.clip.backbone import Backbone
from adapt.clip.encoders import TextInput, split_prefix
from adapt.clip.tokenize import tokenize


@dataclass(frozen=True)
class FewShotTask:
    """One dataset with one seed, as a method sees it."""

    backbone: Backbone
    template: str
    classes: list[str]
    teacher: Float[Tensor, "c f"]  # normalised class embeddings of the frozen model, over the template ensemble
    seed: int
    zero_shot: Float[Tensor, "c f"] | None = None  # the same, but normalised before the mean over templates

    def tokenize(self, write: Callable[[str], str]) -> Int[Tensor, "c s"]:
        """Tokenize one text per class, `write(name)`.

        Raises: UserError for a text that is longer than the model's context.
        """
        return tokenize(self.backbone, self.classes, write)

    def text_input(self, template: str) -> TextInput:
        """Tokenize and embed the classes in a template."""
        return split_prefix(self.backbone.text, self.tokenize(template.format))

    @cached_property
    def text(self) -> TextInput:
        """The classes in the dataset's own template."""
        return self.text_input(self.template)

    @cached_property
    def handcrafted(self) -> Float[Tensor, "c f"]:
        """The frozen model's normalised class embeddings in the dataset's own template."""
        return self.frozen_text_features(None)

    @torch.no_grad()
    def frozen_text_features(self, templates: list[str] | None) -> Float[Tensor, "c f"]:
        """Return the frozen model's normalised class embeddings.

        templates: the embeddings are averaged over them; None: the dataset's own template.
        """
        texts = [self.text] if templates is None else [self.text_input(template) for template in templates]
        found = [F.normalize(self.backbone.encode_text(text), dim=-1) for text in texts]
        return found[0] if len(found) == 1 else F.normalize(torch.stack(found).mean(dim=0), dim=-1)
