"""Packs: the pixels that evaluation sees, written whole or not at all."""

import errno
import io
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from adapt.data import builtin
from adapt.data.dataset import Dataset, Sample, Split, center_crop
from adapt.errors import UserError
from adapt.pipeline import image_cache
from adapt.runtime import signals


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def quiet(rows, **_):
    return rows


@pytest.fixture
def made(tmp_path, monkeypatch) -> Dataset:
    """Seven test images of different sizes, of which `broken` is not an image.

    Packs go to a folder of this test.
    """
    monkeypatch.setattr(image_cache, "ROOT", tmp_path / "pack")

    def read(path: str) -> Image.Image:
        number = int(path)
        if number >= 7:
            return Image.open(io.BytesIO(b"no image"))
        return picture(40 + 9 * number, 70 - 5 * number, number)

    items = tuple(Sample(str(number), 0, "thing") for number in range(7))
    return Dataset("birds", "a photo of a {}.", ("thing",), Split(), Split(), Split(items), read)


def paths(dataset: Dataset) -> list[str]:
    return [item.path for item in dataset.test]


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (64, 131), (500, 333), (31, 77), (224, 225), (1, 9), (101, 64)])
@pytest.mark.parametrize("size", [64, 32, 7])
def test_centre_has_torchvisions_pixels(shape, size):
    image = picture(*shape)
    resized = transforms.resize(image, [size], interpolation=InterpolationMode.BICUBIC)
    expected = transforms.pil_to_tensor(transforms.center_crop(resized, [size, size]))
    assert torch.equal(torch.from_numpy(center_crop(image, size).copy()), expected)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pack_has_every_image_by_its_path(made, workers, monkeypatch):
    monkeypatch.setattr(image_cache, "CHUNK", 2)
    assert image_cache.write(made, paths(made), 16, processes=workers, progress=quiet) == 7
    pack = image_cache.read("birds", 16)
    assert pack.pixels.shape == (7, 3, 16, 16) and pack.pixels.dtype == np.uint8
    for path in paths(made):
        assert np.array_equal(pack.select([path])[:1][0], center_crop(made.image(path), 16))


def test_workers_change_no_byte(made, monkeypatch, tmp_path):
    monkeypatch.setattr(image_cache, "CHUNK", 2)
    written = []
    for workers in (1, 3):
        image_cache.write(made, paths(made), 16, processes=workers, progress=quiet)
        written.append([path.read_bytes() for path in sorted((tmp_path / "pack/birds").iterdir())])
    assert written[0] == written[1]


def test_images_in_memory_are_those_of_a_pack(made):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)
    wanted = ["5", "1", "5"]
    decoded, read = (
        found.select(wanted)[0:3] for found in (image_cache.decode(made, wanted, 16), image_cache.read("birds", 16))
    )
    assert np.array_equal(decoded, read)


def test_a_pack_is_mapped_rather_than_read(made):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)
    assert isinstance(image_cache.read("birds", 16).pixels, np.memmap)


def test_progress_counts_images(made):
    seen = []
    image_cache.write(
        made, paths(made), 16, processes=2, progress=lambda rows, total: seen.extend([total, *rows]) or seen[1:]
    )
    assert seen == [7, *[None] * 7]


def test_unreadable_images_are_all_named_and_leave_no_pack(made, tmp_path):
    with pytest.raises(UserError) as error:
        image_cache.write(made, ["0", "8", "1", "9"], 16, processes=2, progress=quiet)
    first, second = str(error.value).splitlines()
    assert first.startswith("image 8 of dataset birds cannot be read") and "image 9 of dataset birds" in second
    assert not any((tmp_path / "pack").iterdir())


def test_many_unreadable_images_are_counted(made):
    with pytest.raises(UserError) as error:
        image_cache.write(made, [str(number) for number in range(7, 50)], 16, processes=1, progress=quiet)
    lines = str(error.value).splitlines()
    assert len(lines) == 21 and lines[-1] == "… and 23 more"


def test_failed_packing_keeps_the_pack_before(made):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)
    with pytest.raises(UserError):
        image_cache.write(made, ["0", "8"], 16, processes=1, progress=quiet)
    assert len(image_cache.read("birds", 16).rows) == 7


def test_full_disk_is_an_error_before_any_image_is_decoded(made, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        image_cache.write(made, paths(made), 16, processes=1, progress=lambda *_, **__: pytest.fail("decoded"))
    assert not any((tmp_path / "pack").iterdir())


def test_interrupted_packing_leaves_nothing_and_keeps_the_pack_before(made, tmp_path):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)

    def read(path: str) -> Image.Image:
        if path == "3":
            raise signals.Interrupted(signal.SIGTERM)
        return made.read(path)

    with pytest.raises(signals.Interrupted):
        image_cache.write(replace(made, read=read), paths(made), 16, processes=1, progress=quiet)
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["birds"]
    assert len(image_cache.read("birds", 16).rows) == 7


def test_missing_pack_says_how_to_make_it(made):
    with pytest.raises(UserError, match=r"paths.csv is missing; make it with `dvc repro -f pack@birds`"):
        image_cache.read("birds", 16)


def test_truncated_pack_is_refused(made, tmp_path):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)
    path = tmp_path / "pack/birds/pixels.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        UserError, match=r"pixels.npy is missing or broken .*make it again with `dvc repro -f pack@birds"
    ):
        image_cache.read("birds", 16)


def test_pack_of_another_resolution_is_refused(made):
    image_cache.write(made, paths(made), 16, processes=1, progress=quiet)
    with pytest.raises(UserError, match=r"has the shape \(7, 3, 16, 16\), but the params ask for \(7, 3, 32, 32\)"):
        image_cache.read("birds", 32)


def test_pocket_images_are_packed_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(image_cache, "ROOT", tmp_path)
    digits = builtin.load("digits")
    some = paths(digits)[:40]
    image_cache.write(digits, some, 32, processes=2, progress=quiet)
    assert np.array_equal(
        image_cache.read("digits", 32).select(some)[0:1][0], np.asarray(digits.image(some[0])).transpose(2, 0, 1)
    )
