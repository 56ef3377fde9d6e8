"""The pocket datasets: their classes, splits and images."""

import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from adapt.data import builtin
from adapt.data.dataset import Dataset
from adapt.data.glyphs import mask
from adapt.errors import UserError

ICONS = ("phosphor", "remix", "fontawesome")


@pytest.fixture(scope="module", params=builtin.NAMES)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return builtin.load(request.param)


def test_classes_are_those_that_were_counted() -> None:
    counts = {name: len(builtin.load(name).classes) for name in builtin.NAMES}
    assert counts == {"digits": 10, "mnist": 10, "phosphor": 24, "remix": 23, "fontawesome": 28}


def test_items_agree_with_classes(dataset: Dataset) -> None:
    for item in (*dataset.train, *dataset.val, *dataset.test):
        assert dataset.classes[item.label] == item.name


def test_every_class_is_in_every_split_and_trains_on_16_shots(dataset: Dataset) -> None:
    train, val, test = (Counter(item.label for item in part) for part in (dataset.train, dataset.val, dataset.test))
    labels = set(range(len(dataset.classes)))
    assert set(train) == set(val) == set(test) == labels
    assert min(train.values()) >= 16


def test_no_image_is_in_two_splits_and_evaluation_is_quick(dataset: Dataset) -> None:
    paths = [item.path for item in (*dataset.train, *dataset.val, *dataset.test)]
    assert len(paths) == len(set(paths))
    assert len(dataset.test) <= 1500


def test_images_are_rgb_32_and_the_same_at_every_reading(dataset: Dataset) -> None:
    for item in dataset.test[::50]:
        image = dataset.read(item.path)
        assert (image.mode, image.size) == ("RGB", (32, 32))
        assert image.tobytes() == dataset.read(item.path).tobytes()
        assert np.ptp(np.asarray(image)) > 50


def drawings_of(items: tuple, family: str) -> dict[bytes, str]:
    """Every style of the drawings behind some items: pixels -> name."""
    found = {}
    for name in {item.path.split("/")[1] for item in items}:
        for glyph in builtin.drawings(family)[name].styles.values():
            found[mask(glyph).tobytes()] = name
    return found


@pytest.mark.parametrize("family", ICONS)
def test_no_drawing_nor_a_twin_of_it_is_in_two_splits(family: str) -> None:
    dataset = builtin.load(family)
    parts = [drawings_of(part, family) for part in (dataset.train, dataset.val, dataset.test)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not set(parts[one].values()) & set(parts[other].values())
        assert not set(parts[one]) & set(parts[other]), "the same pixels under two names"


def fingerprint() -> str:
    digest = hashlib.sha256()
    for name in builtin.NAMES:
        dataset = builtin.load(name)
        for item in dataset.test[::40]:
            digest.update(f"{item}".encode() + dataset.read(item.path).tobytes())
    return digest.hexdigest()


def test_another_process_sees_the_same_items_and_images() -> None:
    code = "from tests.data.test_builtin import fingerprint; print(fingerprint())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint()


def test_loading_brings_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from adapt.data import builtin; [builtin.load(name) for name in builtin.NAMES];"
        "print({'torch', 'sklearn', 'mlxtend', 'qtpy', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_an_unknown_dataset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="'phosphor'"):
        builtin.load("phosfor")


@pytest.mark.parametrize(
    ("name", "path"), [("digits", "digits/9999"), ("mnist", "digits/0001"), ("remix", "remix/no/x/0")]
)
def test_an_unknown_image_is_refused(name: str, path: str) -> None:
    with pytest.raises(UserError, match=path):
        builtin.load(name).read(path)
