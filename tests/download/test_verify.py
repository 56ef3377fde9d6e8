"""Verification: counts per split and class, and a list of unreadable images."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from adapt.data import catalog, readers, specs
from adapt.download.verify import inspect, verify
from tests import miniature
from tests.miniature import put

BAR = partial(tqdm, disable=True)


@pytest.fixture
def eurosat(tmp_path):
    """A miniature EuroSAT: its entry, and a function that reads it anew."""
    entry = miniature.make("eurosat", tmp_path)
    return entry, lambda: inspect(readers.read("eurosat", entry, tmp_path), expected=entry.sizes.model_dump(), bar=BAR)


def test_whole_dataset_has_all_its_images_and_no_problems(eurosat):
    _, look = eurosat
    found = look()
    assert found.splits == {"train": (30, 30), "val": (10, 10), "test": (20, 20)} and not found.problems
    assert found.classes == [(f"the class {label}", (3, 1, 2)) for label in range(10)]


def test_classes_of_the_same_words_are_named(tmp_path):
    for folder in ("no_1", "no 1"):
        for number in range(3):
            put(tmp_path / "signs" / folder / f"{number}.jpg")
    put(tmp_path / "signs/dataset.yaml", b"template: a {}.\n")
    (problem,) = verify("signs", tmp_path, BAR).problems
    assert problem.startswith("dataset signs: 'no 1' (class 0) and 'no_1' (class 1) are the same words to CLIP, 'no 1'")


def test_missing_and_broken_images_are_named_and_not_counted(eurosat, tmp_path):
    entry, look = eurosat
    dataset = readers.read("eurosat", entry, tmp_path)
    gone, broken = dataset.test[0], dataset.train[-1]
    home = tmp_path / "eurosat/2750"
    (home / gone.path).unlink()
    (home / broken.path).write_bytes(miniature.JPEG[:300])
    found = look()
    assert found.splits == {"train": (29, 30), "val": (10, 10), "test": (19, 20)}
    assert dict(found.classes)[broken.name] == (2, 1, 2) and dict(found.classes)[gone.name] == (3, 1, 1)
    assert [problem.split(" cannot be read")[0] for problem in found.problems] == [
        f"image {broken.path} of dataset eurosat",
        f"image {gone.path} of dataset eurosat",
    ]


def test_counts_that_are_not_the_catalogues_are_said(tmp_path, monkeypatch):
    entry = miniature.make("imagenet_a", tmp_path)
    put(tmp_path / "imagenet-adversarial/imagenet-a/n01498041/extra.jpg")
    monkeypatch.setitem(specs.dataset_specs(), "imagenet_a", entry)
    found = verify("imagenet_a", tmp_path, BAR)
    assert found.splits["test"] == (201, 200) and found.problems == ["test has 201 images, expected 200"]


def test_pocket_dataset_is_whole():
    assert not verify("digits", Path("nowhere"), BAR).problems


@pytest.fixture
def birds(tmp_path) -> Path:
    miniature.birds(tmp_path)
    catalog.load("birds", tmp_path)
    return tmp_path


def test_images_that_came_after_the_split_are_said(birds):
    put(birds / "birds/robin/9.jpg")
    assert verify("birds", birds, BAR).problems == [
        f"1 images, the first robin/9.jpg, are not in {birds}/birds/split.json, which is older: delete it to draw a "
        "new split"
    ]


def test_image_of_a_format_without_colours_is_named(birds):
    Image.new("F", (2, 2)).save(birds / "birds/wren/0.jpg", format="tiff")
    (problem,) = verify("birds", birds, BAR).problems
    assert problem.startswith("image wren/0.jpg of dataset birds cannot be read (mode F, whose values have no known")


@pytest.fixture
def signs(tmp_path) -> Path:
    """Two classes of six pictures, no two alike."""
    for number, name in enumerate(("go", "stop")):
        for image in range(6):
            put(tmp_path / "signs" / name / f"{image}.jpg", miniature.jpeg(8 + 6 * number + image))
    put(tmp_path / "signs/dataset.yaml", b"template: a {}.\n")
    return tmp_path / "signs"


def test_nothing_is_remarked_of_a_tidy_folder(signs):
    found = verify("signs", signs.parent, BAR)
    assert not found.problems and not found.remarks


def test_equal_pictures_in_different_splits_are_named(signs):
    dataset = catalog.load("signs", signs.parent)
    put(signs / dataset.test[0].path, (signs / dataset.train[0].path).read_bytes())
    (told,) = verify("signs", signs.parent, BAR).remarks
    assert told.startswith(
        "1 pictures are in more than one split or class, so that accuracy cannot be trusted, the first in train ("
    )
    assert dataset.test[0].path in told and dataset.train[0].path in told


def test_16_bit_images_of_a_cameras_12_bits_are_named(signs):
    for name, top in (("dark", 4095), ("whole", 65535)):
        Image.fromarray(np.linspace(0, top, 64, dtype=np.uint16).reshape(8, 8)).save(signs / f"go/{name}.png")
    (told,) = verify("signs", signs.parent, BAR).remarks
    assert told.startswith("1 images of 16 bits use at most an eighth") and told.endswith(": go/dark.png")


def test_what_is_passed_over_is_remarked(signs):
    put(signs / "go/clip.mov", b"moov")
    assert verify("signs", signs.parent, BAR).remarks == ["ignored 1 files that are not images of a class: go/clip.mov"]


def test_equal_pictures_of_two_classes_are_named(signs):
    dataset = catalog.load("signs", signs.parent)
    first, other = (next(item for item in dataset.train if item.label == label) for label in (0, 1))
    put(signs / other.path, (signs / first.path).read_bytes())
    (told,) = verify("signs", signs.parent, BAR).remarks
    assert first.path in told and other.path in told


def test_name_too_long_for_clip_is_named(signs):
    put(signs / "dataset.yaml", f"template: a {{}}.\nclasses: {{go: {'go ' * 80}}}\n".encode())
    (problem,) = verify("signs", signs.parent, BAR).problems
    assert "has 84 tokens with the words around it, but CLIP reads only 77" in problem
