"""Your own images, as the library reads them."""

from pathlib import Path

import numpy as np
import pytest

import adapt
from adapt.data import catalog
from tests.api.test_refusals import images


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path) -> Path:
    return images(tmp_path / "insects", ant=10, bee_hive=10)


def test_folder_of_classes_needs_nothing_else(folder):
    found = adapt.load_dataset(folder)
    assert (found.name, found.classes, found.template) == ("insects", ("ant", "bee hive"), "a photo of a {}.")
    assert [len(part) for part in (found.train, found.val, found.test)] == [10, 4, 6]


def test_folder_is_left_as_it_was(folder):
    before = tree(folder)
    adapt.load_dataset(folder)
    assert tree(folder) == before


def test_split_is_the_pipelines(folder):
    (folder / "dataset.yaml").write_text("template: a drawing of a {}.\n", encoding="utf-8")
    ours = adapt.load_dataset(folder)
    theirs = catalog.load("insects", folder.parent)  # draws split.json and keeps it
    assert (folder / "split.json").is_file()
    for found in (ours, adapt.load_dataset(folder), adapt.load_dataset("insects", root=folder.parent)):
        assert (found.train, found.val, found.test) == (theirs.train, theirs.val, theirs.test)
        assert found.template == theirs.template == "a drawing of a {}."


def test_words_of_the_caller_hold(folder):
    found = adapt.load_dataset(folder, template="an insect: {}.", classes={"bee_hive": "bee"})
    assert (found.classes, found.template) == (("ant", "bee"), "an insect: {}.")


def test_unknown_class_of_the_caller_is_refused(folder):
    with pytest.raises(
        adapt.UserError, match=r"adapt.load_dataset: classes: there is no class 'bee_hiv'; did you mean"
    ):
        adapt.load_dataset(folder, classes={"bee_hiv": "bee"})


def test_template_without_a_place_is_refused(folder):
    with pytest.raises(adapt.UserError, match=r"adapt.load_dataset: template: expected a text with one \{\}"):
        adapt.load_dataset(folder, template="a photo")


def test_table_is_a_dataset(folder):
    rows = [f"ant/{n}.png,{'young' if n < 5 else 'old'}" for n in range(10)]
    (folder / "ages.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    found = adapt.load_dataset(folder / "ages.csv")
    assert (found.name, found.classes) == ("ages", ("old", "young"))
    assert found.test.image(0).size == (40, 40)


def test_files_that_are_no_images_are_told_of(folder):
    (folder / "ant" / "notes.doc").write_text("none", encoding="utf-8")
    with pytest.warns(UserWarning, match="insects: ignored 1 files that are not images of a class: ant/notes.doc"):
        adapt.load_dataset(folder)


def test_own_images_are_fitted_and_told_apart(folder, clip):
    data = adapt.load_dataset(folder).few_shot(shots=4, seed=1)
    fitted = adapt.fit("linear_probe", clip, data, progress=False)
    assert adapt.evaluate(fitted, data.test) > 0.5
    assert set(fitted.predict([folder / "ant/0.png", folder / "bee_hive/0.png"])) <= {"ant", "bee hive"}


def test_slice_of_a_split_is_a_split(data):
    assert isinstance(data.test[2:4], adapt.Split) and len(data.test[2:4].labels) == 2


def test_known_datasets_are_listed():
    assert {"digits", "dtd", "imagenet"} <= set(adapt.list_datasets())


def test_split_of_a_table_holds(folder):
    parts = ("train", "val", "test")
    rows = [f"{name}/{n}.png,{name},{parts[n % 3]}" for name in ("ant", "bee_hive") for n in range(6)]
    (folder / "mine.csv").write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    found = adapt.load_dataset(folder / "mine.csv")
    assert {sample.path for sample in found.test} == {f"{name}/{n}.png" for name in ("ant", "bee_hive") for n in (2, 5)}


def test_unknown_split_of_a_table_is_refused(folder):
    (folder / "mine.csv").write_text("path,label,split\nant/0.png,ant,holdout\n", encoding="utf-8")
    with pytest.raises(adapt.UserError, match="line 2: split: expected train, val or test, got 'holdout'"):
        adapt.load_dataset(folder / "mine.csv")


def test_numbers_of_numpy_are_numbers(data):
    found = adapt.load_dataset("digits").few_shot(shots=np.int64(2), seed=np.int32(1))
    assert (found.train, found.shots) == (data.train, 2)
