"""Every method, fitted for a moment on few images of two pocket datasets."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import adapt
from tests.api.conftest import QUICK, clip

__all__ = ["clip"]

DATASETS = ("digits", "phosphor")
EXPORTED = ("adapt", "coop", "promptsrc", "linear_probe", "tip_adapter", "clip_lora")
REFUSED = {"cocoop"}
SHORT = {"optimizer": {"epochs": 1}}
SETTINGS = {
    **{method: {} for method in ("zero_shot", "linear_probe", "tip_adapter")},
    **dict.fromkeys(("adapt", "post_hoc", "random_prune"), QUICK),
    "clip_lora": {"optimizer": {"n_iters_per_shot": 1}},
    "dpl": {**SHORT, "search_epochs": 1},
}  # of all others: SHORT

Fit = Callable[..., adapt.Model]


@pytest.fixture(scope="session")
def few() -> Callable[[str], adapt.FewShotDataset]:
    """A dataset with two images of each class, by its name."""
    return cache(lambda dataset: adapt.load_dataset(dataset).few_shot(shots=2, seed=1))


@pytest.fixture(scope="session")
def fit(clip, few) -> Fit:
    """A function from a method and a dataset to a model that was tuned for a moment."""
    features = cache(lambda dataset: adapt.teacher_features(clip, few(dataset)))

    @cache
    def made(method: str, dataset: str, depth: int | None) -> adapt.Model:
        settings = SETTINGS.get(method, SHORT) | ({} if depth is None else {"prompt_depth": depth})
        return adapt.fit(method, clip, few(dataset), features=features(dataset), progress=False, **settings)

    return lambda method, dataset="digits", depth=None: made(method, dataset, depth)


@pytest.fixture(scope="session")
def exported(fit, tmp_path_factory) -> Callable[..., Path]:
    """A function from a method and a dataset to the folder of its ONNX file."""

    @cache
    def made(method: str, dataset: str, depth: int | None) -> Path:
        folder = tmp_path_factory.mktemp("onnx") / f"{method}-{dataset}"
        fit(method, dataset, depth).export(folder)
        return folder

    return lambda method, dataset="digits", depth=None: made(method, dataset, depth)


@pytest.fixture(scope="session")
def pixels(few) -> Callable[[str], torch.Tensor]:
    """Test images of a dataset, uint8 [n, 3, y, x]."""

    @cache
    def made(dataset: str) -> torch.Tensor:
        images = (few(dataset).test.image(number) for number in range(0, 200, 5))
        return torch.as_tensor(np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]))

    return made
