"""Datasets: how an image is prepared, and the messages for missing or broken ones."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapt.data.dataset import Dataset, Split, center_crop, open_inside
from adapt.errors import UserError


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """A dataset that reads the files of a folder."""
    return Dataset("mine", "a photo of a {}.", ("a",), *(Split(),) * 3, read=lambda path: Image.open(tmp_path / path))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_image_of_any_mode_is_rgb(mode, dataset, tmp_path):
    Image.new(mode, (5, 4)).save(tmp_path / "x.tiff")
    assert dataset.image("x.tiff").mode == "RGB"


def test_16_bit_grey_is_scaled_not_cut_off(dataset, tmp_path):
    Image.fromarray(np.array([[0, 256, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "x.png")
    assert np.asarray(dataset.image("x.png"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_jpeg_keeps_its_colours(dataset, tmp_path):
    Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK").save(tmp_path / "x.jpg", quality=95)
    assert np.allclose(np.asarray(dataset.image("x.jpg"))[8, 8], (200, 40, 40), atol=3)


def test_palette_and_grey_keep_their_colours(dataset, tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = b"\x00\xff"
    image.save(tmp_path / "p.png")
    Image.new("L", (2, 1), 77).save(tmp_path / "l.png")
    assert np.asarray(dataset.image("p.png")).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert np.asarray(dataset.image("l.png")).tolist() == [[[77] * 3] * 2]


@pytest.mark.parametrize(("kind", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_values_without_a_known_range_are_refused_by_name(kind, mode, dataset, tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=kind)).save(tmp_path / "x.tiff")
    with pytest.raises(UserError, match=rf"image x.tiff of dataset mine cannot be read \(mode {mode}, whose values"):
        dataset.image("x.tiff")


def test_image_of_too_many_pixels_is_refused_before_it_is_decoded(dataset, tmp_path):
    Image.new("1", (16, 16)).save(tmp_path / "x.png")
    data = bytearray((tmp_path / "x.png").read_bytes())
    data[16:24] = struct.pack(">II", 50_000, 50_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match=r"image x.png of dataset mine cannot be read \(Image size \(2500000000 pixels"):
        dataset.image("x.png")


def test_png_with_a_broken_chunk_is_named(dataset, tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.png")
    data = bytearray((tmp_path / "x.png").read_bytes())
    data[60] ^= 255
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match=r"image x.png of dataset mine cannot be read"):
        dataset.image("x.png")


@pytest.mark.parametrize("path", ["../x.png", "/x.png", "a/../../x.png", ""])
def test_path_that_leads_out_is_refused(path, tmp_path):
    with pytest.raises(UserError, match=r"the path .* leads out of the dataset's folder; correct or remove it"):
        open_inside(tmp_path, path)


def test_a_link_that_the_owner_of_the_folder_made_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    Image.new("L", (3, 3)).save(tmp_path / "disk/x.png")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/images").symlink_to(tmp_path / "disk")
    assert open_inside(tmp_path / "home", "images/x.png").size == (3, 3)


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
    (tmp_path / "x.jpg").write_text("<html>", encoding="utf-8")
    with pytest.raises(UserError, match=r"image x.jpg of dataset mine cannot be read .*cannot identify"):
        dataset.image("x.jpg")


def test_very_long_image_is_not_resized_as_a_whole():
    """60,000 × 1 pixels would be 13 million wide at the size of ViT-B/16."""
    image = Image.new("RGB", (60_000, 1), "teal")
    image.paste("red", (0, 0, 1000, 1))
    assert (center_crop(image, 224) == np.array([0, 128, 128])[:, None, None]).all()


@pytest.mark.parametrize("size", [(500, 10), (10, 499), (333, 7)])
def test_long_images_below_the_limit_are_as_before(size):
    """Just where the two ways meet they differ by the rounding of the crop alone."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    whole, image = center_crop(Image.fromarray(noise), 32), Image.fromarray(noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapt.data.dataset.LONGEST", 1)
        assert np.abs(center_crop(image, 32).astype(int) - whole).mean() < 12
