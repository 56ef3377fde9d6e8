"""The base of nearly all methods: both towers of the frozen CLIP with injections."""

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
    """A term of the loss in addition to the cross-entropy."""

    name: str
    weight: float
    value: Float[Tensor, ""]


def normalise(features: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
    """Scale features to length 1."""
    return F.normalize(features, dim=-1)


class TwoTower(Method):
    """A classifier by the cosines between class and image embeddings of both towers.

    A method defines its injection into each tower (`injection`), the class texts (`text`), and what it adds to the
    cross-entropy (`loss_terms`).
    """

    insert_at = 0  # position of the context in the text, see encode_text
    fixed_text: Tensor | None = None  # class embeddings, if they depend on no learned parameter

    def injection(self, branch: str) -> Injection:
        """Return the injection into a tower."""
        return NO_INJECTION

    def text(self) -> TextInput:
        """Return the embedded class texts."""
        return self.task.text

    def loss_terms(self, student: Features, batch: Batch) -> list[LossTerm]:
        """Return the terms that are added to the cross-entropy."""
        return []

    def text_features(self) -> Float[Tensor, "c f"]:
        """Return normalised class embeddings, computed once if they are not learned."""
        if self.fixed_text is not None:
            return self.fixed_text
        backbone = self.task.backbone
        features = backbone.encode_text(self.text(), self.injection("text"), insert_at=self.insert_at)
        found = backbone.run(normalise, features)
        if torch.is_grad_enabled() and not found.requires_grad:
            self.fixed_text = found
        return found

    def image_features(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b f"]:
        """Return normalised image embeddings."""
        backbone = self.task.backbone
        return backbone.run(normalise, backbone.encode_image(images, self.injection("image")))

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy plus the method's own terms, and all terms by name."""
        # an image tower without injection has the teacher's cached features for these views
        image = self.image_features(batch.images) if self.modifies_image_tower else batch.teacher
        return self.task.backbone.run(type(self).compare, self, Features(self.text_features(), image), batch)

    def compare(self, student: Features, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Compute the loss and its terms from class and image embeddings."""
        cross_entropy = F.cross_entropy(logits(student, self.task.backbone.logit_scale), batch.labels)
        loss, named = cross_entropy, {"cross_entropy": cross_entropy}
        for name, weight, value in self.loss_terms(student, batch):
            loss, named[name] = loss + weight * value, value
        return loss, named

    def classifier(self) -> Classifier:
        """Return the function from images to logits; class embeddings are computed once."""
        text, scale = self.text_features(), self.task.backbone.logit_scale
        return lambda images: logits(Features(text, self.image_features(images)), scale)

    def lengths(self) -> dict[str, list[int]]:
        """Return the number of new prompt tokens at each layer."""
        found = super().lengths()
        for branch in BRANCHES:
            for layer, prompt in enumerate(self.injection(branch).prompts or []):
                found[branch][layer] = prompt.shape[-2] if isinstance(prompt, Tensor) else 0
        return found
