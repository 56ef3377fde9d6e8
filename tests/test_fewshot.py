"""Few-shot subsets on disk: written and read back, and refused when broken."""

import pytest

from adapt import fewshot
from adapt.data import pocket
from adapt.data.sampling import sample
from adapt.errors import UserError


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The digits at two shots under seed 1."""
    monkeypatch.setattr(fewshot, "ROOT", tmp_path)
    digits = pocket.load("digits")
    subset = sample(digits.train, digits.val, 2, 1)
    fewshot.write(digits, {1: subset}, 2)
    return subset


def test_items_come_back(written):
    assert fewshot.read("digits", 1, "train") == written.train
    assert fewshot.read("digits", 1, "val") == written.val
    assert fewshot.read("digits", 1, "test") == list(pocket.load("digits").test)


def test_description_comes_back(written):
    described = fewshot.describe("digits")
    assert described.shots == 2 and described.classes == list(pocket.load("digits").classes)


def test_train_and_val_are_apart_from_test(written):
    test = set(fewshot.read("digits", 1, "test"))
    assert not test & {*written.train, *written.val}


def test_broken_label_says_what_makes_the_file(written):
    path = fewshot.file("digits", 1)
    path.write_text(path.read_text().replace(",0,zero", ",nought,zero"))
    with pytest.raises(UserError, match=r"seed_1.csv is not as `sample` writes it .*`dvc repro sample@digits -f`"):
        fewshot.read("digits", 1, "train")


def test_missing_seed_says_what_makes_it(written):
    with pytest.raises(UserError, match="seed_2.csv is missing; make it with `dvc repro sample@digits`"):
        fewshot.read("digits", 2, "train")
