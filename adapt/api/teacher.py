"""The frozen model's features, which every method on a few-shot dataset shares."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapt.api import settings
from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, Preset, TeacherConfig
from adapt.data.dataset import FewShotDataset
from adapt.training import numerics
from adapt.training.teacher_features import of_classes, of_images

SPLITS = ("train", "val")


@dataclass(frozen=True, repr=False)
class TeacherFeatures:
    """Features of the classes and of the few-shot images, to fit several methods on the same.

    classes: normalised embeddings `features` and `zero_shot` [c, f].
    images: for train and val `train.views` [n, v, f] and `train.frozen` [n, f], not normalised.
    made_from: what they depend on.
    """

    classes: dict[str, Tensor]
    images: dict[str, Tensor]
    made_from: dict[str, Any]

    def digest(self) -> str:
        """A hash of the tensors: of other images, it is another."""
        found = hashlib.sha256()
        for tensor in (*self.classes.values(), *self.images.values()):
            found.update(tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


def teacher_features(
    clip: Backbone, data: FewShotDataset, *, preset: Preset | None = None, **changed: Any
) -> TeacherFeatures:
    """Compute the frozen model's features of a few-shot dataset once, to hand them to several fits.

    Args:
        clip: the CLIP that will be fitted.
        data: the few-shot dataset.
        preset: as for `fit`.
        **changed: what to change of the sections `augment` and `teacher`, as for `fit`.

    Returns:
        The features; `fit(…, features=…)` takes them in place of its own.

    Raises:
        UserError: for a setting that is wrong, an image that cannot be read, a class name that CLIP cannot read whole.
    """
    preset = settings.choose_preset(preset, clip)
    return compute(clip, data, *settings.shared(preset, changed))


def compute(clip: Backbone, data: FewShotDataset, augment: AugmentConfig, teacher: TeacherConfig) -> TeacherFeatures:
    """The features under these settings."""
    images = {split: [data.image(sample.path) for sample in getattr(data, split)] for split in SPLITS}
    with numerics.fixed(clip.precision), torch.no_grad():
        classes = of_classes(clip, list(data.classes), teacher.templates)
        found = of_images(clip, images, data.seed, teacher, augment)
    return TeacherFeatures(classes, found, describe(clip, data, augment, teacher))


def describe(clip: Backbone, data: FewShotDataset, augment: AugmentConfig, teacher: TeacherConfig) -> dict[str, Any]:
    """What features depend on."""
    return {
        "weights": clip.weights, "precision": clip.precision, "dataset": data.name, "seed": data.seed,
        "classes": list(data.classes), "train": [item.path for item in data.train],
        "val": [item.path for item in data.val], "augment": augment.model_dump(), "teacher": teacher.model_dump(),
    }  # fmt: skip
