"""A fitted method beside zero-shot CLIP."""

import numpy as np
import PIL.Image
import pytest
import torch

import adapt
from adapt.demo.comparison import TOP, Comparison
from adapt.errors import UserError


@pytest.fixture(scope="module")
def comparison(model) -> Comparison:
    return Comparison(model)


def test_zero_shot_is_the_method_of_that_name(comparison, model):
    data = adapt.load_dataset("digits").few_shot(shots=1, seed=1)
    fitted = adapt.fit("zero_shot", model.clip, data, progress=False)
    images = data.test[:20]
    assert torch.equal(comparison.zero_shot.logits(images), fitted.logits(images))


def test_most_likely_classes_come_first(comparison, digits):
    found = comparison.classify(next(iter(digits.values())), "digit")
    for ranking in found:
        assert len(ranking) == TOP and list(ranking.values()) == sorted(ranking.values(), reverse=True)


def test_probabilities_are_the_librarys(comparison, digits, model):
    label, path = next(iter(digits.items()))
    expected = model.predict_proba([path])[0, model.classes.index(label)]
    assert comparison.classify(path, "digit").tuned[label] == float(expected)


def test_picture_of_unknown_range_is_refused_by_its_name(comparison, tmp_path):
    PIL.Image.fromarray(np.zeros((9, 9), dtype=np.float32)).save(tmp_path / "height.tiff")
    with pytest.raises(UserError, match=r"image my height.tiff cannot be read \(mode F.*drop another"):
        comparison.classify(tmp_path / "height.tiff", "my height.tiff")
