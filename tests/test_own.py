"""Your own datasets: a folder or a table, a template, and a split drawn once."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from adapt.data import catalogue
from adapt.errors import UserError
from tests.miniature import put

TEMPLATE = "template: a photo of a {}, a type of bird.\n"


@pytest.fixture
def birds(tmp_path) -> Path:
    """Two kinds of birds, ten and four images, in folders."""
    home = tmp_path / "my_birds"
    for name, amount in (("house_wren", 10), ("robin", 4)):
        for number in range(amount):
            put(home / name / f"{number}.jpg")
    (home / "dataset.yaml").write_text(TEMPLATE, encoding="utf-8")
    return home


def load(home: Path):
    return catalogue.load(home.name, home.parent)


def table(home: Path, text: str) -> None:
    (home / "images.csv").write_text(text, encoding="utf-8")


def test_folders_are_classes_cut_50_20_30(birds):
    dataset = load(birds)
    assert dataset.classes == ("house wren", "robin") and dataset.template == "a photo of a {}, a type of bird."
    counts = [dict(Counter(item.name for item in part)) for part in (dataset.train, dataset.val, dataset.test)]
    assert counts == [{"house wren": 5, "robin": 2}, {"house wren": 2, "robin": 1}, {"house wren": 3, "robin": 1}]
    assert dataset.image(dataset.test[0].path).size == (8, 8)


def test_it_is_among_the_names_that_params_may_hold(birds):
    assert "my_birds" in catalogue.names(birds.parent)


def test_params_accept_it_under_the_root_of_the_environment(birds, monkeypatch):
    from adapt.params import load as load_params

    path = birds.parent / "params.yaml"
    text = Path("params.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("- digits\n", "- my_birds\n"), encoding="utf-8")
    monkeypatch.setenv("ADAPT_DATA", str(birds.parent))
    assert load_params(path).datasets[0] == "my_birds"
    shutil.rmtree(birds)
    with pytest.raises(UserError, match=r"datasets\[0\]: unknown dataset 'my_birds'"):
        load_params(path)


def test_params_accept_it_under_their_own_root(birds):
    from adapt.params import load as load_params

    path = birds.parent / "params.yaml"
    text = Path("params.yaml").read_text(encoding="utf-8").replace("- digits\n", "- my_birds\n")
    path.write_text(text.replace("root: null", f"root: {birds.parent}"), encoding="utf-8")
    assert load_params(path).datasets[0] == "my_birds" in catalogue.names(load_params(path).data.home)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"datasets\[0\]: unknown dataset 'my_birds'"):
        load_params(path)


def test_split_is_drawn_once_and_outlives_new_images(birds):
    first = load(birds)
    put(birds / "robin" / "new.jpg")
    again = load(birds)
    assert (again.train, again.val, again.test) == (first.train, first.val, first.test)
    assert set(json.loads((birds / "split.json").read_text(encoding="utf-8"))) == {"train", "val", "test"}


def test_another_copy_draws_the_same_split(birds):
    load(birds)
    before = (birds / "split.json").read_bytes()
    (birds / "split.json").unlink()
    load(birds)
    assert (birds / "split.json").read_bytes() == before


def test_class_names_can_be_given_and_changed_without_a_new_split(birds):
    first = load(birds)
    (birds / "dataset.yaml").write_text(TEMPLATE + "classes: {robin: European robin}\n", encoding="utf-8")
    dataset = load(birds)
    assert dataset.classes == ("house wren", "European robin")
    assert [item.path for item in dataset.train] == [item.path for item in first.train]


def test_table_of_paths_and_class_names(birds):
    rows = [f"{path.relative_to(birds)},{path.parent.name}" for path in sorted(birds.rglob("*.jpg"))]
    table(birds, "path,label\n" + "\n".join(rows))
    dataset = load(birds)
    assert dataset.classes == ("house wren", "robin") and len(dataset.train) == 7


def test_table_of_numbers_takes_its_names_from_the_description(birds):
    rows = [f"{path.relative_to(birds)},{10 if path.parent.name == 'robin' else 9}" for path in birds.rglob("*.jpg")]
    table(birds, "path,label\n" + "\n".join(rows))
    with pytest.raises(UserError, match=r"classes: class 9 needs a name, since a number says nothing to CLIP"):
        load(birds)
    (birds / "dataset.yaml").write_text(TEMPLATE + "classes: {9: wren, 10: robin}\n", encoding="utf-8")
    assert load(birds).classes == ("wren", "robin"), "9 comes before 10"


def test_wrong_table_is_refused_and_no_split_is_written(birds):
    table(birds, "path,label\nrobin/77.jpg,robin\n")
    with pytest.raises(UserError, match="images.csv, line 2: there is no image .*my_birds/robin/77.jpg"):
        load(birds)
    assert not (birds / "split.json").exists()


def test_class_with_too_few_images_is_named(birds):
    put(birds / "owl" / "1.jpg")
    with pytest.raises(UserError, match=r"my_birds: class 'owl' has 1 images, fewer than 3, one for each split"):
        load(birds)


def test_split_that_was_tampered_with_is_refused(birds):
    load(birds)
    text = (birds / "split.json").read_text(encoding="utf-8")
    (birds / "split.json").write_text(text.replace("robin/", "../robin/"), encoding="utf-8")
    with pytest.raises(UserError, match=r"split.json: the path '\.\./robin/.*' leads out of the dataset's folder"):
        load(birds)


def test_folder_that_takes_a_known_name_is_refused(birds):
    birds.rename(birds.parent / "digits")
    with pytest.raises(UserError, match=r"digits/dataset.yaml: digits is the name of another dataset; rename the fold"):
        catalogue.load("digits", birds.parent)


def test_folder_without_a_description_is_no_dataset(birds):
    (birds / "dataset.yaml").unlink()
    with pytest.raises(UserError, match="unknown dataset 'my_birds'"):
        load(birds)


def test_files_beside_the_images_are_passed_over(birds):
    (birds / "robin" / "notes.txt").write_text("seen in May", encoding="utf-8")
    put(birds / "robin" / "._1.jpg", b"from macOS")
    put(birds / ".cache" / "1.jpg")
    dataset = load(birds)
    assert len(dataset.train + dataset.val + dataset.test) == 14
