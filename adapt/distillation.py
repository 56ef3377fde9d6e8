"""Distances between the prompted model (student) and the frozen one (teacher).

Each distance returns a text term and an image term, which are weighted and added to the cross-entropy. All features are
normalised. Stated in the abstract: angular distillation. The other distances are for comparison.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Features(NamedTuple):
    """Normalised embeddings of the classes and of a batch of images."""

    text: Float[Tensor, "c f"]
    image: Float[Tensor, "b f"]


Terms = tuple[Float[Tensor, ""], Float[Tensor, ""]]


def logits(features: Features, scale: Float[Tensor, ""]) -> Float[Tensor, "b c"]:
    """Return the cosines times CLIP's logit scale (exp of the learned logarithm)."""
    return scale * features.image @ features.text.T


def per_tower(distance: Callable[[Tensor, Tensor], Tensor], student: Features, teacher: Features) -> Terms:
    """Apply a distance to the class embeddings, and to the image features."""
    return distance(student.text, teacher.text), distance(student.image, teacher.image)


def angular(student: Features, teacher: Features, scale: Tensor) -> Terms:
    """Return 1 - cos, averaged over classes and over instances (ADAPT, stated)."""
    return per_tower(lambda s, t: 1 - (s * t).sum(dim=-1).mean(), student, teacher)


def l1(student: Features, teacher: Features, scale: Tensor) -> Terms:
    """Return the mean absolute difference of all elements (PromptSRC's convention)."""
    return per_tower(F.l1_loss, student, teacher)


def kl(student: Features, teacher: Features, scale: Tensor) -> Terms:
    """Return KL(teacher ‖ student) of the class distributions.

    It is summed and divided by the number of logits (PromptSRC's convention). It compares instances, so it is the image
    term and has that term's weight (ours).
    """
    s, t = (logits(features, scale).log_softmax(dim=-1) for features in (student, teacher))
    return s.new_zeros(()), F.kl_div(s, t, reduction="sum", log_target=True) / s.numel()


def pairwise(student: Features, teacher: Features, scale: Tensor) -> Terms:
    """Return the mean squared difference of the matrices of pairwise cosines.

    This is the other possible reading of the abstract (ours).
    """
    return per_tower(lambda s, t: F.mse_loss(s @ s.T, t @ t.T), student, teacher)


def none(student: Features, teacher: Features, scale: Tensor) -> Terms:
    """Return zeros: no distillation."""
    return student.text.new_zeros(()), student.image.new_zeros(())


DISTANCES: dict[str, Callable[[Features, Features, Tensor], Terms]] = {
    distance.__name__: distance for distance in (angular, l1, kl, pairwise, none)
}
