"""What makes logits of image features, by method: the text tower is folded into the embeddings of the classes.

The buffers of a head are all that it needs, and `lines` says the same in plain PyTorch, of `features` and `tuned`, a
mapping of these buffers. Axis letters: b batch, c classes, f feature, n images of a cache.
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
    """Cosines to the embeddings of the classes, scaled."""

    normalised: ClassVar[bool] = True  # whether the features in `lines` are
    lines: ClassVar[str] = 'logits = tuned["logit_scale"] * features @ tuned["class_embeddings"].T'
    meaning: ClassVar[dict[str, str]] = {
        "class_embeddings": "[classes, features]: the normalised embedding of each class",
        "logit_scale": "what cosines are multiplied with to make logits",
    }
    class_embeddings: Tensor
    logit_scale: Tensor

    def __init__(self, class_embeddings: Float[Tensor, "c f"], logit_scale: Float[Tensor, ""]):
        super().__init__()
        self.register_buffer("class_embeddings", class_embeddings.detach().clone())
        self.register_buffer("logit_scale", logit_scale.detach().clone())

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Logits of features, which are not normalised yet."""
        return self.logit_scale * F.normalize(features, dim=-1) @ self.class_embeddings.T


class Cache(Cosine):
    """Cosines to the classes and, through a cache, to the features of the training images."""

    lines = "\n".join([
        'likeness = torch.exp(tuned["beta"] * (features @ tuned["cache_keys"].T - 1))',
        'logits = tuned["logit_scale"] * features @ tuned["class_embeddings"].T',
        'logits += tuned["alpha"] * likeness @ tuned["cache_values"]',
    ])  # fmt: skip
    meaning = Cosine.meaning | {
        "cache_keys": "[images, features]: the normalised features of the images that it was tuned on",
        "cache_values": "[images, classes]: 1 for the class of each, else 0",
        "alpha": "the weight of the cache",
        "beta": "how fast its say falls with the distance",
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
        """Logits of features, which are not normalised yet."""
        likeness = torch.exp(self.beta * (F.normalize(features, dim=-1) @ self.cache_keys.T - 1))
        return super().forward(features) + self.alpha * likeness @ self.cache_values


class Linear(nn.Module):
    """A linear classifier."""

    normalised: ClassVar[bool] = False
    lines: ClassVar[str] = 'logits = features @ tuned["weight"].T + tuned["bias"]'
    meaning: ClassVar[dict[str, str]] = {
        "weight": "[classes, features]: what features, as the image tower gives them, are multiplied with",
        "bias": "[classes]: what is added; minus infinity for a class that had no image",
    }
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Float[Tensor, "c f"], bias: Float[Tensor, " c"]):
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Logits of features."""
        return features @ self.weight.T + self.bias


Head = Cosine | Linear


@singledispatch
def head_of(method: Method) -> Head:
    """The head of a fitted method.

    Raises: UserError for a method that has none, with the reason.
    """
    raise refusal(method, "nothing is known here of how it makes logits of image features")


@head_of.register
def _(method: TwoTower) -> Head:
    kind = type(method)
    if kind.classifier is not TwoTower.classifier or kind.image_features is not TwoTower.image_features:
        raise refusal(method, "its logits are not the cosines of classes and images that are embedded apart")
    return Cosine(method.text_features(), method.task.backbone.logit_scale)


@head_of.register
def _(method: CoCoop) -> Head:
    raise refusal(method, "its texts depend on each image, so that there are no class embeddings to put into a file")


@head_of.register
def _(method: TipAdapter) -> Head:
    return Cache(method)


@head_of.register
def _(method: LinearProbe) -> Head:
    return Linear(method.weight, method.bias)


def name_of(method: Method) -> str:
    """The name of a method, which is that of its file."""
    return type(method).__module__.rpartition(".")[2]


def refusal(method: Method, reason: str, how: str = "") -> UserError:
    """The error that says why a method cannot be exported, or not so."""
    return UserError(f"export: {' '.join([name_of(method), 'cannot be exported', how]).rstrip()}: {reason}")
