"""Few-shot images are decoded once.

Their bytes are the dataset's, and a broken file is refused.
"""

import numpy as np
import pytest

from adapt.data.dataset import Dataset, Sample, Split
from adapt.errors import UserError
from adapt.pipeline import fewshot_images
from tests.pipeline.test_image_cache import picture, quiet

MADE_BY = "dvc repro -f teacher@birds"


@pytest.fixture
def dataset() -> Dataset:
    """Seven images of different sizes."""
    items = tuple(Sample(str(number), 0, "thing") for number in range(7))
    return Dataset(
        "birds", "a photo of a {}.", ("thing",), Split(items), Split(), Split(),
        lambda path: picture(4 + int(path), 12 - int(path), int(path)),
    )  # fmt: skip


@pytest.mark.parametrize("processes", [1, 2])
def test_every_image_is_there_at_its_full_size(dataset, tmp_path, processes, monkeypatch):
    monkeypatch.setattr(fewshot_images, "AT_ONCE", 3)
    paths = ["4", "0", "4", "6", "1"]  # two seeds may draw the same image
    fewshot_images.write(tmp_path, dataset, paths, processes=processes, progress=quiet)
    found = fewshot_images.open_folder(tmp_path, MADE_BY)
    assert list(found) == ["4", "0", "6", "1"]
    assert all(np.array_equal(pixels, np.asarray(dataset.image(path))) for path, pixels in found.items())


def test_a_file_that_was_cut_off_is_refused(dataset, tmp_path):
    fewshot_images.write(tmp_path, dataset, ["0", "1"], processes=1, progress=quiet)
    file = tmp_path / fewshot_images.BYTES
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"images.bin has 308 bytes, not 309; make it again with `dvc repro -f teach"):
        fewshot_images.open_folder(tmp_path, MADE_BY)


def test_missing_images_are_refused(dataset, tmp_path):
    fewshot_images.write(tmp_path, dataset, ["0"], processes=1, progress=quiet)
    (tmp_path / fewshot_images.BYTES).unlink()
    with pytest.raises(UserError, match=r"images.bin is missing or broken .* `dvc repro -f teacher@birds`"):
        fewshot_images.open_folder(tmp_path, MADE_BY)
