"""The frozen model's features on disk: data/teacher/<dataset>/.

All methods share them.
"""

from pathlib import Path

from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.runtime import formats

ROOT = Path("data/teacher")


def file(dataset: str, seed: int | None) -> Path:
    """Return the path of the features of a seed's images.

    seed: None for the features of the classes
    """
    return ROOT / dataset / ("classes.safetensors" if seed is None else f"seed_{seed}.safetensors")


def read(dataset: str, seed: int | None, backbone: Backbone) -> dict[str, Tensor]:
    """Return cached features by name.

    Of the classes these are, normalised, `features` and `zero_shot` [c, f], computed by the functions `ensemble` and
    `zero_shot` of adapt/training/teacher_features.py. Of a seed's images these are, not normalised and for both `train`
    and `val`, `train.views` [n, v, f] and `train.frozen` [n, f]; `frozen` is of the images as evaluation sees them.

    Raises: UserError if another backbone or other weights made them.
    """
    expected = {"backbone": backbone.name, "weights": backbone.weights}
    return formats.read_tensors(file(dataset, seed), f"dvc repro -f teacher@{dataset}", **expected)
