"""Splits and few-shot subsets equal the published ones.

The published ones are read from $ADAPT_TEST_SPLITS, if it is set.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from adapt.data import splits
from adapt.data.dataset import Sample
from adapt.data.sampling import sample
from adapt.data.specs import DatasetSpec, JsonSplit, dataset_specs
from adapt.data.splits import Splits

FOLDER = Path(os.environ.get("ADAPT_TEST_SPLITS", "not set"))
published = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="ADAPT_TEST_SPLITS names no folder with split_zhou_*.json and indices/NAME/shot_K-seed_S.json",
)


def known(name: str, entry: DatasetSpec) -> tuple[Splits, DatasetSpec]:
    """CoOp's split of a dataset."""
    assert isinstance(entry.split, JsonSplit)
    path = FOLDER / Path(entry.split.file).name
    if not path.is_file():
        pytest.skip(f"there is no {path.name} in ADAPT_TEST_SPLITS")
    return splits.parse(splits.check(path, entry.split.sha256, ""), path), entry


@published
@pytest.mark.parametrize(
    "name", [name for name, entry in dataset_specs().items() if isinstance(entry.split, JsonSplit)]
)
def test_published_split_has_the_catalogues_counts(name):
    found, entry = known(name, dataset_specs()[name])
    assert dict(zip(Splits._fields, map(len, found), strict=True)) == entry.sizes.model_dump()
    assert len(splits.class_names(found, FOLDER)) == entry.classes


@published
def test_subsets_equal_the_published_index_files(record_property):
    """Of every dataset whose split file is there; how many these are is told."""
    files = sorted(FOLDER.glob("indices/*/shot_*-seed_*.json"))
    there = [file for file in files if (FOLDER / Path(dataset_specs()[file.parent.name].split.file).name).is_file()]
    assert there, f"no index files in {FOLDER} beside their split files"
    datasets = sorted({file.parent.name for file in there})
    record_property("published index files compared", f"{len(there)} of {len(files)}, of {', '.join(datasets)}")
    for file in there:
        numbers = re.fullmatch(r"shot_(\d+)-seed_(\d+)", file.stem)
        assert numbers
        shots, seed = map(int, numbers.groups())
        found, _ = known(file.parent.name, dataset_specs()[file.parent.name])
        drawn = sample(found.train, found.val, shots, seed)
        expected = json.loads(file.read_text(encoding="utf-8"))
        for part, items in (("train", drawn.train), ("val", drawn.val)):
            theirs = expected[part]["data"]
            assert [(item.label, item.name) for item in items] == [(row["label"], row["classname"]) for row in theirs]
            for item, row in zip(items, theirs, strict=True):
                assert row["impath"].endswith(f"/{item.path}"), f"{file.name}: {item.path} is not {row['impath']}"


@pytest.mark.parametrize(
    ("total", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (5, 2, 3)), (600, (300, 120, 180))]
)
def test_a_class_is_cut_50_20_30_and_each_part_has_one(total, expected):
    parts = splits.split(range(total), np.random.default_rng(0))
    assert tuple(map(len, parts)) == expected
    assert sorted(n for part in parts for n in part) == list(range(total))


def test_a_split_comes_back_as_it_was_written(tmp_path):
    whole = Splits([Sample("a/ä.jpg", 0, "ä"), Sample("b/1.jpg", 1, "b")], [Sample("a/2.jpg", 0, "ä")], [])
    splits.write(whole, tmp_path / "split.json")
    assert splits.parse((tmp_path / "split.json").read_bytes(), tmp_path / "split.json") == whole


def test_order_of_classes_is_the_files():
    """Sampling goes through classes in order of first appearance.

    So a sorted split would give other images.
    """
    items = [Sample(f"{label}/{i}.jpg", label, str(label)) for label in (1, 0) for i in range(5)]
    drawn = sample(items, [], 2, 1).train
    assert [item.label for item in drawn] == [1, 1, 0, 0] and Counter(drawn).most_common(1)[0][1] == 1
