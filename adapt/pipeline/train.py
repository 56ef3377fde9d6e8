"""The inputs of `train` for a seed, and its output folder.

The folder is data/tuned/<dataset>/<method>/seed_<s>/.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapt.clip.backbone import Backbone
from adapt.config import AdamWConfig, AugmentConfig, SGDConfig
from adapt.data.augment import to_tensor
from adapt.data.loader import FewShotLoader
from adapt.pipeline import fewshot, fewshot_images, teacher_cache
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.runtime.checkpoint import Checkpoint
from adapt.task import FewShotTask
from adapt.training import run_folder
from adapt.training.fit import make_loaders

ROOT = Path("data/tuned")


def folder(dataset: str, method: str, seed: int) -> Path:
    """Return the folder that `train` writes for a seed."""
    return ROOT / dataset / method / f"seed_{seed}"


def prompts(dataset: str, method: str, seed: int) -> Path:
    """Return the path of the prompts of a seed."""
    return folder(dataset, method, seed) / run_folder.PROMPTS


def checkpoint(made_from: Mapping[str, Any], seed: int, seconds: float) -> Checkpoint:
    """Open the checkpoint of a run; it depends on config and inputs."""
    dataset, method = made_from["dataset"], made_from["method"]
    inputs = [fewshot.file(dataset, seed), teacher_cache.file(dataset, None), teacher_cache.file(dataset, seed)]
    return open_checkpoint(f"train/{dataset}-{method}-{seed}", seconds, made_from, *inputs)


def read_task(backbone: Backbone, dataset: str, seed: int) -> FewShotTask:
    """Return the sampled dataset as a task for methods."""
    described = fewshot.describe(dataset)
    classes = {name: value.to(backbone.device) for name, value in teacher_cache.read(dataset, None, backbone).items()}
    return FewShotTask(backbone, described.template, described.classes, classes["features"], seed, classes["zero_shot"])


def read_loaders(
    backbone: Backbone, dataset: str, seed: int, optimizer: SGDConfig | AdamWConfig | None, augment: AugmentConfig
) -> dict[str, FewShotLoader]:
    """Return the training and validation images of a seed.

    They come with the teacher's features of their views.

    optimizer: gives the batch size; None for a method that takes all images at once
    """
    samples, pixels = (
        {split: fewshot.read(dataset, seed, split) for split in fewshot.SEEDED},
        fewshot_images.read(dataset),
    )
    images = {split: [to_tensor(pixels[sample.path]) for sample in found] for split, found in samples.items()}
    labels = {split: [sample.label for sample in found] for split, found in samples.items()}
    features = teacher_cache.read(dataset, seed, backbone)
    return make_loaders(backbone, images, labels, features, seed=seed, optimizer=optimizer, augment=augment)
