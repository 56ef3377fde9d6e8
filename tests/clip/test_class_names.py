"""Class names as the tokenizer sees them: too long, or the same as another's."""

from dataclasses import replace

import pytest
from PIL import Image

from adapt.clip import class_names
from adapt.data import readers
from adapt.data import specs as catalogue
from adapt.data.dataset import Dataset
from adapt.errors import UserError
from tests.methods.test_methods import build

LONG = " ".join(["very"] * 90 + ["long"])  # 91 tokens


def dataset(*classes: str, **more) -> Dataset:
    return Dataset("birds", "a {}.", tuple(name.replace("_", " ") for name in classes), (), (), (), Image.open, **more)


def test_text_that_just_fits_is_taken(backbone):
    fits = " ".join(["very"] * 75)
    assert (
        class_names.tokenize(backbone, [fits], "{}".format)[0, -1]
        == class_names.tokenize(backbone, ["a"], "{}".format).max()
    )


@pytest.mark.parametrize("words", [76, 91, 300])
def test_longer_text_is_refused_by_class_tokens_and_limit(words, backbone):
    name = " ".join(["very"] * words)
    with pytest.raises(
        UserError, match=rf"class '{name}' has {words + 2} tokens .* and tiny reads 77; give it a shorter"
    ):
        class_names.tokenize(backbone, ["a", name], "{}".format)


def test_method_that_adds_tokens_is_told_of_what_it_alone_cannot_read(task):
    """A name that fits into the template, but not behind sixteen tokens of context."""
    other = replace(task, classes=[" ".join(["very"] * 65), *task.classes[1:]])
    assert other.text
    for place in ("end", "middle", "front"):
        with pytest.raises(UserError, match="has 84 tokens with the words around it, and tiny reads 77"):
            build("coop", other, tokens=16, words=None, class_place=place)


@pytest.mark.parametrize("method", ["zero_shot", "coop", "cocoop", "vpt", "ivlp", "maple", "promptsrc", "clip_lora"])
def test_every_method_refuses_what_would_be_cut(method, task):
    with pytest.raises(UserError, match="tokens with the words around it"):
        build(method, replace(task, classes=[LONG, *task.classes[1:]])).text_features()


@pytest.mark.parametrize(
    "pair", [("no_1", "no 1"), ("no 1", "no1"), ("Dog", "dog"), ("a-b", "a - b"), ("x &amp; y", "x & y")]
)
def test_classes_of_the_same_tokens_are_refused_by_both_labels(pair, backbone):
    made = dataset("cat", *pair, labels=("cat", *pair))
    with pytest.raises(UserError, match="are the same words to CLIP") as caught:
        class_names.check(backbone.tokenize, made)
    assert all(f"{label!r} (class {number})" in str(caught.value) for number, label in enumerate(pair, start=1))


def test_classes_that_differ_pass(backbone):
    assert class_names.check(backbone.tokenize, dataset("ice cream", "icecream", "no 1", "no 11")) == []


def test_known_twins_are_told_of(backbone):
    assert class_names.check(backbone.tokenize, dataset("missile", "cat", "missile", twins=("missile",))) == [
        "classes 0 and 2 are both called 'missile': to CLIP they are one, so that one of them is never predicted"
    ]


def test_the_catalogue_lists_imagenets_twins(backbone):
    known = list(readers.imagenet_names().values())
    found = {known[labels[0]] for labels in class_names.twins(backbone.tokenize, known)}
    assert found == set(catalogue.dataset_specs()["imagenet"].twins)


def test_words_that_alone_are_too_long_are_not_blamed_on_the_class(task):
    with pytest.raises(UserError, match="the words around the class names have 9. tokens with the shortest name"):
        task.words(LONG.replace("long", "{}"))


def test_names_that_are_cut_are_not_called_the_same(backbone):
    assert class_names.twins(backbone.tokenize, [f"{LONG} x", f"{LONG} y"]) == []
