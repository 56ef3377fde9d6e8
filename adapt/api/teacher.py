"""The frozen model's features, which all methods on a few-shot dataset share."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from adapt.api import settings
from adapt.api.checks import expect, on_disk
from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, Preset, TeacherConfig
from adapt.data.dataset import FewShotDataset
from adapt.errors import UserError
from adapt.runtime import progress as bars
from adapt.runtime import signals
from adapt.runtime.checkpoint import Checkpoint, open_checkpoint
from adapt.training import numerics
from adapt.training.teacher_features import of_classes, of_images

SPLITS = ("train", "val")
SECONDS = 60.0  # between two writes of a checkpoint
WHERE = "adapt.teacher_features"
Images = Mapping[str, Sequence[Image]]


@dataclass(frozen=True, repr=False, eq=False)
class TeacherFeatures:
    """The frozen model's features of classes and few-shot images.

    Several methods can be fitted with the same features.

    classes: normalised embeddings `features` and `zero_shot` [c, f].
    images: for train and val `train.views` [n, v, f] and `train.frozen` [n, f], not normalised.
    made_from: everything they depend on.
    """

    classes: dict[str, Tensor]
    images: dict[str, Tensor]
    made_from: dict[str, Any]

    def __repr__(self) -> str:
        return f"<features of {self.made_from['dataset']}, seed {self.made_from['seed']}>"


def teacher_features(
    clip: Backbone,
    data: FewShotDataset,
    *,
    preset: Preset | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    **changed: Any,
) -> TeacherFeatures:
    """Compute the frozen model's features of a few-shot dataset, for several fits.

    Args:
        clip: the CLIP that will be fitted.
        data: the few-shot dataset.
        preset: as for `fit`.
        checkpoint: a path. The state is saved beside it each minute and when the work is stopped, and the features at
            the end, so that the same call then returns them at once. By default nothing is saved.
        progress: whether to show a progress bar.
        **changed: changes of the sections `augment` and `teacher`, as for `fit`.

    Returns:
        The features; `fit(…, features=…)` takes them instead of computing its own.

    Raises:
        UserError: for a wrong setting, an image that cannot be read, or a class name too long for CLIP's context.
    """
    check(clip, data, WHERE)
    expect(checkpoint, str | Path | None, f"{WHERE}: checkpoint", "a path")
    changed = settings.plain(changed)
    settings.only(changed, settings.SHARED, WHERE)
    augment, teacher = settings.shared(settings.choose_preset(preset, clip, WHERE), changed, WHERE)
    images = decode(data)
    made_from = describe(clip, data, images, augment, teacher)
    with signals.installed(), ExitStack() as leaving:
        if checkpoint is None:
            return compute(clip, data, images, augment, teacher, made_from, progress=progress)
        whole, *parts = (open_store(f"{checkpoint}{name}", WHERE, made_from) for name in ("", "-train", "-val"))
        for store in (whole, *parts):
            leaving.callback(store.close)
        if kept := whole.load():
            return TeacherFeatures(kept["classes"], kept["images"], made_from)
        stores: dict[str, Checkpoint] = dict(zip(SPLITS, parts, strict=True))
        found = compute(clip, data, images, augment, teacher, made_from, stores, progress)
        whole.save({"classes": found.classes, "images": found.images})
        for store in parts:
            store.clear()
        return found


def check(clip: Any, data: Any, where: str) -> None:
    """Raise UserError for anything but a CLIP and a few-shot dataset."""
    expect(clip, Backbone, f"{where}: clip", "load_clip(…)")
    expect(data, FewShotDataset, f"{where}: data", "load_dataset(…).few_shot(shots=…, seed=…)")


def decode(data: FewShotDataset) -> dict[str, list[Image]]:
    """Decode the few-shot images of each split."""
    return {split: [data.image(sample.path) for sample in getattr(data, split)] for split in SPLITS}


def compute(
    clip: Backbone,
    data: FewShotDataset,
    images: Images,
    augment: AugmentConfig,
    teacher: TeacherConfig,
    made_from: dict[str, Any],
    stores: Mapping[str, Checkpoint] | None = None,
    progress: bool = False,
) -> TeacherFeatures:
    """Compute the features with these settings."""
    bar = bars.Bar(f"{data.name} views", 0, "batch") if progress else iter
    with numerics.fixed(clip), torch.no_grad():
        classes = of_classes(clip, list(data.classes), teacher.templates)
        found = of_images(clip, images, data.seed, teacher, augment, stores, bar)
    return TeacherFeatures(classes, found, made_from)


def describe(
    clip: Backbone, data: FewShotDataset, images: Images, augment: AugmentConfig, teacher: TeacherConfig
) -> dict[str, Any]:
    """Return everything that the features depend on."""
    pixels = hashlib.sha256()
    for image in (image for split in SPLITS for image in images[split]):
        pixels.update(f"{image.size}".encode() + image.tobytes())
    return {
        "weights": clip.weights, "precision": clip.precision, "dataset": data.name, "seed": data.seed,
        "shots": data.shots, "classes": list(data.classes), "images": pixels.hexdigest(),
        "augment": augment.model_dump(), "teacher": teacher.model_dump(),
    }  # fmt: skip


def open_store(checkpoint: str | Path, where: str, *inputs: Any) -> Checkpoint:
    """Open the checkpoint at a path.

    Raises:
        UserError: for a path that cannot hold one.
    """
    with on_disk(f"{where}: checkpoint"):
        path = Path(checkpoint).expanduser()
        if not path.name:
            raise UserError(f"{where}: checkpoint: expected the path of a file to be, got {str(checkpoint)!r}")
        return open_checkpoint(path, SECONDS, *inputs)
