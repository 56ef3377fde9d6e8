"""The frozen model's features, which every method on a few-shot dataset shares."""

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
SECONDS = 60.0  # between two saves of a checkpoint
WHERE = "adapt.teacher_features"
Images = Mapping[str, Sequence[Image]]


@dataclass(frozen=True, repr=False, eq=False)
class TeacherFeatures:
    """Features of the classes and of the few-shot images, to fit several methods on the same.

    classes: normalised embeddings `features` and `zero_shot` [c, f].
    images: for train and val `train.views` [n, v, f] and `train.frozen` [n, f], not normalised.
    made_from: what they depend on.
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
    """Compute the frozen model's features of a few-shot dataset once, to hand them to several fits.

    Args:
        clip: the CLIP that will be fitted.
        data: the few-shot dataset.
        preset: as for `fit`.
        checkpoint: a path; beside it the state is kept each minute and when the work is stopped, and the features at
            the end, so that the same call has them at once. By default nothing is kept.
        progress: whether to show a progress bar.
        **changed: what to change of the sections `augment` and `teacher`, as for `fit`.

    Returns:
        The features; `fit(…, features=…)` takes them in place of its own.

    Raises:
        UserError: for a setting that is wrong, an image that cannot be read, a class name that CLIP cannot read whole.
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
    """Refuse what is no CLIP and no few-shot dataset."""
    expect(clip, Backbone, f"{where}: clip", "load_clip(…)")
    expect(data, FewShotDataset, f"{where}: data", "load_dataset(…).few_shot(shots=…, seed=…)")


def decode(data: FewShotDataset) -> dict[str, list[Image]]:
    """The few-shot images by split."""
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
    """The features under these settings."""
    bar = bars.Bar(f"{data.name} views", 0, "batch") if progress else iter
    with numerics.fixed(clip), torch.no_grad():
        classes = of_classes(clip, list(data.classes), teacher.templates)
        found = of_images(clip, images, data.seed, teacher, augment, stores, bar)
    return TeacherFeatures(classes, found, made_from)


def describe(
    clip: Backbone, data: FewShotDataset, images: Images, augment: AugmentConfig, teacher: TeacherConfig
) -> dict[str, Any]:
    """What features depend on."""
    pixels = hashlib.sha256()
    for image in (image for split in SPLITS for image in images[split]):
        pixels.update(f"{image.size}".encode() + image.tobytes())
    return {
        "weights": clip.weights, "precision": clip.precision, "dataset": data.name, "seed": data.seed,
        "shots": data.shots, "classes": list(data.classes), "images": pixels.hexdigest(),
        "augment": augment.model_dump(), "teacher": teacher.model_dump(),
    }  # fmt: skip


def open_store(checkpoint: str | Path, where: str, *inputs: Any) -> Checkpoint:
    """The checkpoint at a path; raises UserError where that is none."""
    with on_disk(f"{where}: checkpoint"):
        path = Path(checkpoint).expanduser()
        if not path.name:
            raise UserError(f"{where}: checkpoint: expected the path of a file to be, got {str(checkpoint)!r}")
        return open_checkpoint(path, SECONDS, *inputs)
