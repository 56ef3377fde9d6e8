"""Few-shot subsets on disk: written and read back, and refused when broken."""

import pytest
from PIL import Image

from adapt.data import builtin
from adapt.data.dataset import Dataset, Sample, Split
from adapt.data.sampling import sample
from adapt.errors import UserError
from adapt.pipeline import fewshot


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The digits at two shots under seed 1."""
    monkeypatch.setattr(fewshot, "ROOT", tmp_path)
    digits = builtin.load("digits")
    subset = sample(digits.train, digits.val, 2, 1)
    fewshot.write(digits, {1: subset}, 2)
    return subset


def test_items_come_back(written):
    assert fewshot.read("digits", 1, "train") == written.train
    assert fewshot.read("digits", 1, "val") == written.val
    assert fewshot.read("digits", 1, "test") == list(builtin.load("digits").test)


def test_description_comes_back(written):
    described = fewshot.describe("digits")
    assert described.shots == 2 and described.classes == list(builtin.load("digits").classes)


def test_train_and_val_are_apart_from_test(written):
    test = set(fewshot.read("digits", 1, "test"))
    assert not test & {*written.train, *written.val}


def test_broken_label_says_what_makes_the_file(written):
    path = fewshot.file("digits", 1)
    path.write_text(path.read_text(encoding="utf-8").replace(",0,zero", ",nought,zero"), encoding="utf-8")
    with pytest.raises(UserError, match=r"seed_1.csv is not as `sample` writes it .*`dvc repro sample@digits -f`"):
        fewshot.read("digits", 1, "train")


def test_missing_seed_says_what_makes_it(written):
    with pytest.raises(UserError, match="seed_2.csv is missing; make it with `dvc repro sample@digits`"):
        fewshot.read("digits", 2, "train")


def items(amounts: dict[str, int], folder: str = "train") -> list[Sample]:
    """So many images of each class."""
    return [
        Sample(f"{folder}/{name}/{number}", label, name)
        for label, (name, amount) in enumerate(amounts.items())
        for number in range(amount)
    ]


def test_without_a_val_split_val_is_drawn_from_what_train_leaves():
    train = items({"a": 9, "b": 20})
    drawn = sample(train, [], 8, 1)
    assert drawn.train == sample(train, items({"a": 4, "b": 4}, "val"), 8, 1).train, "the shots are the same"
    assert [item.name for item in drawn.val] == ["a"] + ["b"] * 4 and drawn.reused_classes == []
    assert not set(drawn.train) & set(drawn.val)


def test_class_without_images_to_spare_validates_on_its_shots_and_is_named():
    drawn = sample(items({"a": 2, "b": 20}), [], 8, 1)
    assert drawn.reused_classes == ["a"]
    assert {item for item in drawn.val if item.name == "a"} == {item for item in drawn.train if item.name == "a"}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A dataset of two classes without val images, of which one has none to spare."""
    monkeypatch.setattr(fewshot, "ROOT", tmp_path)
    train = items({"a": 1, "b": 9})
    parts = train, (), items({"a": 1, "b": 1}, "test")
    made = Dataset("small", "a {}.", ("a", "b"), *map(Split, parts), Image.open)
    fewshot.write(made, {1: sample(train, [], 1, 1)}, 1)


def test_accuracy_on_val_images_that_trained_is_refused(small):
    with pytest.raises(
        UserError, match=r"evaluate.split: 1 of 2 val images of small are training images, the first tr"
    ):
        fewshot.read_to_score("small", 1, "val")


def test_test_images_are_scored_whatever_val_is(small):
    assert len(fewshot.read_to_score("small", 1, "test")) == 2
