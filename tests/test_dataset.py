"""Datasets: what an image becomes, and what a missing or broken one says."""

from pathlib import Path

import pytest
from PIL import Image

from adapt.data.dataset import Dataset
from adapt.errors import UserError


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """A dataset that reads the files of a folder."""
    return Dataset("mine", "a photo of a {}.", ("a",), (), (), (), read=lambda path: Image.open(tmp_path / path))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_image_of_any_mode_is_rgb(mode, dataset, tmp_path):
    Image.new(mode, (5, 4)).save(tmp_path / "x.tiff")
    assert dataset.image("x.tiff").mode == "RGB"


def test_missing_image_is_named(dataset):
    with pytest.raises(UserError, match=r"image x.jpg of dataset mine cannot be read .*No such file"):
        dataset.image("x.jpg")


def test_truncated_image_is_named(dataset, tmp_path: Path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.jpg")
    data = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"image x.jpg of dataset mine cannot be read .*truncated"):
        dataset.image("x.jpg")


def test_file_that_is_no_image_is_named(dataset, tmp_path: Path):
    (tmp_path / "x.jpg").write_text("<html>")
    with pytest.raises(UserError, match=r"image x.jpg of dataset mine cannot be read .*cannot identify"):
        dataset.image("x.jpg")
