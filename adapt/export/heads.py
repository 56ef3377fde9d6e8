"""The head of each method: from image features to logits.

The text tower is folded into the class embeddings. A head computes with nothing but its buffers. `lines` is the same
computation in plain PyTorch, from `features` and `tuned`, a mapping of the buffers. Axis letters: b batch, c classes,
f feature, n images of a cache.
"""

from functools import singledispatch
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.errors import UserError
from adapt.methods._base import Method
from adapt.methods._two_tower import TwoTower
from adapt.methods.cocoop import CoCoop
from adapt.methods.linear_probe import LinearProbe
from adapt.methods.tip_adapter import TipAdapter


class Cosine(nn.Module):
    """Scaled cosines between image features and class embeddings."""

    normalised: ClassVar[bool] = True  # whether `lines` takes normalised features
    lines: ClassVar[str] = 'logits = tuned["logit_scale"] * features @ tuned["class_embeddings"].T'
    meaning: ClassVar[dict[str, str]] = {
        "class_embeddings": "[classes, features]: the normalised embedding of each class",
        "logit_scale": "the factor from cosines to logits",
    }
    class_embeddings: Tensor
    logit_scale: Tensor

    def __init__(self, class_embeddings: Float[Tensor, "c f"], logit_scale: Float[Tensor, ""]):
        super().__init__()
        self.register_buffer("class_embeddings", class_embeddings.detach().clone())
        self.register_buffer("logit_scale", logit_scale.detach().clone())

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Compute logits from features that are not yet normalised."""
        return self.logit_scale * F.normalize(features, dim=-1) @ self.class_embeddings.T


class Cache(Cosine):
    """Cosines to the classes plus, by a cache, similarities to the training images.

    This is the head of Tip-Adapter.
    """

    lines = "\n".join([
        'likeness = torch.exp(tuned["beta"] * (features @ tuned["cache_keys"].T - 1))',
        'logits = tuned["logit_scale"] * features @ tuned["class_embeddings"].T',
        'logits += tuned["alpha"] * likeness @ tuned["cache_values"]',
    ])  # fmt: skip
    meaning = Cosine.meaning | {
        "cache_keys": "[images, features]: the normalised features of the images that it was tuned on",
        "cache_values": "[images, classes]: 1 for the class of each, else 0",
        "alpha": "the weight of the cache",
        "beta": "how sharply its weight falls with the distance",
    }
    cache_keys: Tensor
    cache_values: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, method: TipAdapter):
        super().__init__(method.text_features(), method.task.backbone.logit_scale)
        alpha, beta = method.mix
        found = {"cache_keys": method.keys, "cache_values": method.values(), "alpha": alpha, "beta": beta}
        for name, value in found.items():
            self.register_buffer(name, value.detach().clone())

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Compute logits from features that are not yet normalised."""
        likeness = torch.exp(self.beta * (F.normalize(features, dim=-1) @ self.cache_keys.T - 1))
        return super().forward(features) + self.alpha * likeness @ self.cache_values


class Linear(nn.Module):
    """A linear classifier."""

    normalised: ClassVar[bool] = False
    lines: ClassVar[str] = 'logits = features @ tuned["weight"].T + tuned["bias"]'
    meaning: ClassVar[dict[str, str]] = {
        "weight": "[classes, features]: the factors of features as the image tower returns them",
        "bias": "[classes]: added to the logits; minus infinity for a class without images",
    }
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Float[Tensor, "c f"], bias: Float[Tensor, " c"]):
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Compute logits from features."""
        return features @ self.weight.T + self.bias


Head = Cosine | Linear


@singledispatch
def head_of(method: Method) -> Head:
    """Return the head of a fitted method.

    Raises:
        UserError: for a method that has none, with the reason.
    """
    raise refusal(method, "there is no exportable head for it, from image features to logits")


@head_of.register
def _(method: TwoTower) -> Head:
    kind = type(method)
    if kind.classifier is not TwoTower.classifier or kind.image_features is not TwoTower.image_features:
        raise refusal(method, "its logits are not cosines between independent embeddings of classes and images")
    return Cosine(method.text_features(), method.task.backbone.logit_scale)


@head_of.register
def _(method: CoCoop) -> Head:
    raise refusal(method, "its texts depend on each image, so there are no class embeddings to export")


@head_of.register
def _(method: TipAdapter) -> Head:
    return Cache(method)


@head_of.register
def _(method: LinearProbe) -> Head:
    return Linear(method.weight, method.bias)


def name_of(method: Method) -> str:
    """Return the name of a method, which is that of its module."""
    return type(method).__module__.rpartition(".")[2]


def refusal(method: Method, reason: str, how: str = "") -> UserError:
    """Return the error on a method that cannot be exported, or not in this format."""
    return UserError(f"export: {' '.join([name_of(method), 'cannot be exported', how]).rstrip()}: {reason}")
