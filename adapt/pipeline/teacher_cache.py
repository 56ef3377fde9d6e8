"""The frozen model's features on disk: data/teacher/<dataset>/, shared by all methods."""

from pathlib import Path

from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.runtime import formats

ROOT = Path("data/teacher")


def file(dataset: str, seed: int | None) -> Path:
    """Where the features of a seed's images are; those of the classes for no seed."""
    return ROOT / dataset / ("classes.safetensors" if seed is None else f"seed_{seed}.safetensors")


def read(dataset: str, seed: int | None, backbone: Backbone) -> dict[str, Tensor]:
    """Cached features by name; refused when another backbone or other weights made them.

    Of the classes, normalised: `features` and `zero_shot` [c, f], by the functions `ensemble` and `zero_shot` of
    adapt/training/teacher_features.py. Of a seed, for `train` and `val`, not normalised: `train.views` [n, v, f] and
    `train.frozen` [n, f], of the images as evaluation sees them.
    """
    expected = {"backbone": backbone.name, "weights": backbone.weights}
    return formats.read_tensors(file(dataset, seed), f"dvc repro -f teacher@{dataset}", **expected)
