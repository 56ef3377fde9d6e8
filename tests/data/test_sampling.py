"""Few-shot sampling is CoOp's."""

import pytest

from adapt.data.dataset import Sample
from adapt.data.sampling import sample


@pytest.fixture(scope="module")
def known(golden):
    return golden("sampling.json")


@pytest.fixture(scope="module")
def split(known):
    return {name: [Sample(*row) for row in known[name]] for name in ("train", "val")}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_golden_subsets(seed, shots, known, split):
    expected = known["samples"][f"seed{seed}_shots{shots}"]
    drawn = sample(split["train"], split["val"], shots, seed)
    assert [item.path for item in drawn.train] == expected["train"]
    assert [item.path for item in drawn.val] == expected["val"]


def test_class_with_too_few_images_is_named(split):
    assert sample(split["train"], split["val"], 16, 1).incomplete_classes == [("emu", 9)]
