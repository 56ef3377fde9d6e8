"""The pocket CLIP and few images of digits, loaded once."""

import pytest

import adapt

QUICK = {"optimizer": {"epochs": 3}, "prune": {"warmup": 1, "every": 1, "count": 6}}


@pytest.fixture(scope="session")
def clip() -> adapt.Backbone:
    return adapt.load_clip("pocket")


@pytest.fixture(scope="session")
def data() -> adapt.FewShotDataset:
    return adapt.load_dataset("digits").few_shot(shots=2, seed=1)


@pytest.fixture(scope="session")
def model(clip, data) -> adapt.Model:
    return adapt.fit("adapt", clip, data, progress=False, **QUICK)
