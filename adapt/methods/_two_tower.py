"""Both towers of the frozen CLIP with what a method puts into them: what nearly all methods share."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from adapt.clip.encoders import NO_INJECTION, Injection, TextInput
from adapt.data.loader import Batch
from adapt.distillation import Features, logits
from adapt.methods._base import Classifier, Method
from adapt.prompts import BRANCHES


class LossTerm(NamedTuple):
    """A term of the loss beside the cross-entropy."""

    name: str
    weight: float
    value: Float[Tensor, ""]


def normalise(features: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
    """Features of length 1."""
    return F.normalize(features, dim=-1)


class TwoTower(Method):
    """Classes and images embedded by both towers, compared by their cosines.

    A method says what it puts into each tower (`injection`), into the text (`text`), and what it adds to the loss
    (`loss_terms`).
    """

    insert_at = 0  # where the text tower's context stands, see encode_text
    fixed_text: Tensor | None = None  # embeddings that nothing learned enters

    def injection(self, branch: str) -> Injection:
        """What goes into a tower."""
        return NO_INJECTION

    def text(self) -> TextInput:
        """The classes in words."""
        return self.task.text

    def loss_terms(self, student: Features, batch: Batch) -> list[LossTerm]:
        """What is added to the cross-entropy."""
        return []

    def text_features(self) -> Float[Tensor, "c f"]:
        """Normalised embeddings of the classes; once only where nothing learned enters them."""
        if self.fixed_text is not None:
            return self.fixed_text
        backbone = self.task.backbone
        features = backbone.encode_text(self.text(), self.injection("text"), insert_at=self.insert_at)
        found = backbone.run(normalise, features)
        if torch.is_grad_enabled() and not found.requires_grad:
            self.fixed_text = found
        return found

    def image_features(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b f"]:
        """Normalised embeddings of images."""
        backbone = self.task.backbone
        return backbone.run(normalise, backbone.encode_image(images, self.injection("image")))

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Cross-entropy and the method's own terms."""
        # what the frozen image tower says of these views is what the teacher says
        image = self.image_features(batch.images) if self.modifies_image_tower else batch.teacher
        return self.task.backbone.run(type(self).compare, self, Features(self.text_features(), image), batch)

    def compare(self, student: Features, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss and its terms, from the embeddings of classes and images."""
        cross_entropy = F.cross_entropy(logits(student, self.task.backbone.logit_scale), batch.labels)
        loss, named = cross_entropy, {"cross_entropy": cross_entropy}
        for name, weight, value in self.loss_terms(student, batch):
            loss, named[name] = loss + weight * value, value
        return loss, named

    def classifier(self) -> Classifier:
        """Logits of images against the classes' embeddings, which are computed once."""
        text, scale = self.text_features(), self.task.backbone.logit_scale
        return lambda images: logits(Features(text, self.image_features(images)), scale)

    def lengths(self) -> dict[str, list[int]]:
        """Tokens that are set anew at each layer."""
        found = super().lengths()
        for branch in BRANCHES:
            for layer, prompt in enumerate(self.injection(branch).prompts or []):
                found[branch][layer] = prompt.shape[-2] if isinstance(prompt, Tensor) else 0
        return found
