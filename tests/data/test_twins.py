"""Class names that are the same tokens to a CLIP."""

import pytest
from PIL import Image

from adapt.data import readers, twins
from adapt.data import specs as catalogue
from adapt.data.dataset import Dataset, Split
from adapt.errors import UserError

LONG = " ".join(["very"] * 90 + ["long"])  # 91 tokens

NONE = (Split(),) * 3


def dataset(*classes: str, **more) -> Dataset:
    return Dataset("birds", "a {}.", tuple(name.replace("_", " ") for name in classes), *NONE, Image.open, **more)


@pytest.mark.parametrize(
    "pair", [("no_1", "no 1"), ("no 1", "no1"), ("Dog", "dog"), ("a-b", "a - b"), ("x &amp; y", "x & y")]
)
def test_classes_of_the_same_tokens_are_refused_by_both_labels(pair, backbone):
    made = dataset("cat", *pair, labels=("cat", *pair))
    with pytest.raises(UserError, match="are the same words to CLIP") as caught:
        twins.check(backbone.tokenize, made)
    assert all(f"{label!r} (class {number})" in str(caught.value) for number, label in enumerate(pair, start=1))


def test_classes_that_differ_pass(backbone):
    assert twins.check(backbone.tokenize, dataset("ice cream", "icecream", "no 1", "no 11")) == []


def test_known_twins_are_told_of(backbone):
    assert twins.check(backbone.tokenize, dataset("missile", "cat", "missile", twins=("missile",))) == [
        "classes 0 and 2 are both called 'missile': CLIP cannot tell them apart, so that one of them is never predicted"
    ]


def test_the_catalogue_lists_imagenets_twins(backbone):
    known = list(readers.imagenet_names().values())
    found = {known[labels[0]] for labels in twins.twins(backbone.tokenize, known)}
    assert found == set(catalogue.dataset_specs()["imagenet"].twins)


def test_names_that_are_cut_are_not_called_the_same(backbone):
    assert twins.twins(backbone.tokenize, [f"{LONG} x", f"{LONG} y"]) == []
