"""Your own datasets: a folder or a table, a template, and a split drawn once."""

import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from adapt.data import catalog
from adapt.errors import UserError
from tests.miniature import jpeg, put


def png(size: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((size, size), 50).save(buffer, "png")
    return buffer.getvalue()


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
    return catalog.load(home.name, home.parent)


def table(home: Path, text: str) -> None:
    (home / "images.csv").write_text(text, encoding="utf-8")


def test_folders_are_classes_cut_50_20_30(birds):
    dataset = load(birds)
    assert dataset.classes == ("house wren", "robin") and dataset.template == "a photo of a {}, a type of bird."
    counts = [dict(Counter(item.name for item in part)) for part in (dataset.train, dataset.val, dataset.test)]
    assert counts == [{"house wren": 5, "robin": 2}, {"house wren": 2, "robin": 1}, {"house wren": 3, "robin": 1}]
    assert dataset.image(dataset.test[0].path).size == (8, 8)


def test_it_is_among_the_names_that_params_may_hold(birds):
    assert "my_birds" in catalog.names(birds.parent)


def test_params_accept_it_under_the_root_of_the_environment(birds, monkeypatch):
    from adapt.pipeline.params import load as load_params

    path = birds.parent / "params.yaml"
    text = Path("params.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("- digits\n", "- my_birds\n"), encoding="utf-8")
    monkeypatch.setenv("ADAPT_DATA", str(birds.parent))
    assert load_params(path).datasets[0] == "my_birds"
    shutil.rmtree(birds)
    with pytest.raises(UserError, match=r"datasets\[0\]: unknown dataset 'my_birds'"):
        load_params(path)


def test_params_accept_it_under_their_own_root(birds):
    from adapt.pipeline.params import load as load_params

    path = birds.parent / "params.yaml"
    text = Path("params.yaml").read_text(encoding="utf-8").replace("- digits\n", "- my_birds\n")
    path.write_text(text.replace("root: null", f"root: {birds.parent}"), encoding="utf-8")
    assert load_params(path).datasets[0] == "my_birds" in catalog.names(load_params(path).data.folder)
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
    with pytest.raises(UserError, match=r"my_birds: class 'owl' has 1 images; it needs at least 3, one for each split"):
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
        catalog.load("digits", birds.parent)


def test_folder_without_a_description_is_no_dataset(birds):
    (birds / "dataset.yaml").unlink()
    with pytest.raises(
        UserError, match="unknown dataset 'my_birds': .*/my_birds is not a dataset: it has no dataset.yaml, with a"
    ):
        load(birds)


def test_files_beside_the_images_are_passed_over(birds):
    (birds / "robin" / "notes.txt").write_text("seen in May", encoding="utf-8")
    put(birds / "robin" / "._1.jpg", b"from macOS")
    put(birds / ".cache" / "1.jpg")
    dataset = load(birds)
    assert len(dataset.train + dataset.val + dataset.test) == 14


# --- folders as people have them -------------------------------------------------------------------------------------


def in_splits(home: Path, spelled: tuple[str, ...], classes: tuple[str, ...] = ("robin", "wren")) -> Path:
    """Class folders in folders of splits, two images each."""
    for split in spelled:
        for name in classes:
            for number in range(2):
                put(home / split / name / f"{split}{number}.jpg")
    (home / "dataset.yaml").write_text(TEMPLATE, encoding="utf-8")
    return home


@pytest.mark.parametrize(
    "spelled",
    [("train", "val", "test"), ("Train", "Valid", "Test"), ("training", "validation", "testing"), ("train", "test")],
)
def test_folders_of_splits_are_the_splits(spelled, tmp_path):
    dataset = load(in_splits(tmp_path / "my_birds", spelled))
    assert dataset.classes == ("robin", "wren")
    parts = {"train": dataset.train, "test": dataset.test} | ({"val": dataset.val} if len(spelled) == 3 else {})
    for part, folder in zip(sorted(parts, key=["train", "val", "test"].index), spelled, strict=True):
        assert {item.path for item in parts[part]} == {
            f"{folder}/{name}/{folder}{n}.jpg" for name in dataset.classes for n in range(2)
        }


@pytest.mark.parametrize(
    ("spelled", "told"),
    [
        (("train", "val"), "train, val are taken for splits"),
        (("train", "test", "robin"), "robin, test, train are taken for spl"),
    ],
)
def test_splits_that_are_not_whole_or_not_alone_are_refused(spelled, told, tmp_path):
    home = in_splits(tmp_path / "my_birds", spelled)
    with pytest.raises(UserError, match=rf"the folders {told}"):
        load(home)
    assert not (home / "split.json").exists()


def test_splits_without_class_folders_are_refused(tmp_path):
    home = in_splits(tmp_path / "my_birds", ("train", "test"))
    put(home / "test" / "loose.jpg")
    with pytest.raises(
        UserError, match="test is taken for a split, in which every class has a folder, but loose.jpg is in no"
    ):
        load(home)


def test_class_may_be_called_train(birds):
    for number in range(3):
        put(birds / "train" / f"{number}.jpg")
    assert load(birds).classes == ("house wren", "robin", "train")


def test_images_of_any_name_that_pillow_opens_are_taken(birds):
    for name in ("a.jfif", "no_extension", "b.JPE", "c.dat"):
        put(birds / "robin" / name)
    dataset = load(birds)
    paths = {Path(item.path).name for part in (dataset.train, dataset.val, dataset.test) for item in part}
    assert {"a.jfif", "no_extension", "b.JPE", "c.dat"} <= paths


def test_what_is_passed_over_is_counted_by_name(birds):
    (birds / "robin/notes.txt").write_text("seen in May", encoding="utf-8")
    (birds / "robin/IMG_1.heic").write_bytes(b"ftypheic")
    put(birds / "robin/archive.zip", b"PK")
    (birds / "robin/gone.jpg").symlink_to(birds / "nowhere.jpg")
    put(birds / "beside.jpg")
    put(birds / "robin/.ipynb_checkpoints/0-checkpoint.jpg")
    dataset = load(birds)
    assert catalog.remarks(dataset, birds.parent) == [
        "ignored 5 files that are not images of a class: beside.jpg, robin/IMG_1.heic, robin/archive.zip, "
        "robin/gone.jpg, robin/notes.txt"
    ]


def test_hidden_folders_in_a_class_are_not_read(birds):
    for folder in (".ipynb_checkpoints", "__MACOSX", "deeper/.thumbs"):
        put(birds / "robin" / folder / "0.jpg")
    dataset = load(birds)
    assert sum(len(part) for part in (dataset.train, dataset.val, dataset.test)) == 14


def test_links_are_followed_and_one_that_leads_back_up_ends(birds, tmp_path):
    for number in range(2):
        put(tmp_path / "archive" / f"linked{number}.jpg")
    (birds / "robin/more").symlink_to(tmp_path / "archive")
    (birds / "robin/loop").symlink_to(birds)
    (birds / "robin/ring").symlink_to(birds / "robin/ring")
    (birds / "owl").symlink_to(birds / "house_wren")
    dataset = load(birds)
    paths = [item.path for part in (dataset.train, dataset.val, dataset.test) for item in part]
    assert dataset.classes == ("house wren", "owl", "robin") and len(paths) == 10 + 10 + 6
    assert {"robin/more/linked0.jpg", "robin/more/linked1.jpg"} <= set(paths)
    assert dataset.image("robin/more/linked0.jpg").size == (8, 8)


def test_folder_without_an_image_is_refused_by_name(birds):
    (birds / "sparrow").mkdir()
    (birds / "sparrow/readme.md").write_text("none yet", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"my_birds: the folder sparrow holds no image that Pillow can open, and every fol"
    ):
        load(birds)


def test_new_class_is_told_of_after_the_split_was_drawn(birds):
    load(birds)
    put(birds / "owl/1.jpg")
    (told,) = catalog.remarks(load(birds), birds.parent)
    assert told.startswith("1 images, the first owl/1.jpg (including all of owl), are not in ")
    assert told.endswith("split.json, which is older: delete it to draw a new split")


# --- splits that make no sense ---------------------------------------------------------------------------------------

ROWS = {
    "train": [["robin/0.jpg", 1, "robin"], ["house_wren/0.jpg", 0, "house_wren"]],
    "val": [],
    "test": [["robin/1.jpg", 1, "robin"], ["house_wren/1.jpg", 0, "house_wren"]],
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train": []}, "there are no train images; train needs some of every class"),
        ({"test": []}, "there are no test images; train needs some of every class"),
        ({"train": ROWS["train"][:1]}, "no training images of 'house_wren'; every class needs some"),
        ({"test": [*ROWS["test"], ROWS["train"][0]]}, "robin/0.jpg: an image may be listed once, in one split"),
        ({"val": [ROWS["train"][0]]}, "robin/0.jpg: an image may be listed once, in one split"),
        ({"train": [*ROWS["train"], ROWS["train"][0]]}, "robin/0.jpg: an image may be listed once, in one split"),
        ({"val": [["./robin/0.jpg", 1, "robin"]]}, "robin/0.jpg: an image may be listed once, in one split"),
        (
            {"train": ROWS["train"][1:], "test": ROWS["test"][1:]},
            "there are images of 1 classes; a dataset needs two or mo",
        ),
    ],
)
def test_split_that_makes_no_sense_is_refused(changes, told, birds):
    (birds / "split.json").write_text(json.dumps(ROWS | changes), encoding="utf-8")
    with pytest.raises(UserError, match=f"split.json: {told}"):
        load(birds)


def test_folders_of_splits_that_make_no_sense_leave_no_split_behind(tmp_path):
    home = in_splits(tmp_path / "my_birds", ("train", "test"))
    put(home / "test/owl/0.jpg")
    with pytest.raises(UserError, match="my_birds: no training images of 'owl'; every class needs some"):
        load(home)
    put(home / "train/owl/0.jpg")
    assert load(home).classes == ("owl", "robin", "wren")


def test_own_split_may_be_of_any_folders(birds):
    """Whoever writes the split need not have a folder per class."""
    (birds / "split.json").write_text(json.dumps(ROWS), encoding="utf-8")
    for name in ("annotations", "train", "test"):
        (birds / name).mkdir()
    put(birds / "annotations/boxes.xml", b"<x/>")
    dataset = load(birds)
    lines = catalog.remarks(dataset, birds.parent)
    assert lines[0] == "ignored 1 files that are not images of a class: annotations/boxes.xml"
    assert lines[1].startswith("10 images, the first house_wren/2.jpg, are not in ")


def test_split_without_val_images_is_taken(birds):
    (birds / "split.json").write_text(json.dumps(ROWS), encoding="utf-8")
    assert load(birds).val == ()


# --- names and tables ------------------------------------------------------------------------------------------------


def numbered(birds: Path, *names: str) -> Path:
    """Folders of numbers in place of names."""
    for old, new in zip(("house_wren", "robin"), names, strict=True):
        (birds / old).rename(birds / new)
    return birds


@pytest.mark.parametrize(
    "given", ["{001: wren, 010: robin}", "{1: wren, 10: robin}", "{'001': wren, '010': robin}", "[wren, robin]"]
)
def test_folders_of_numbers_are_named_however_yaml_reads_them(given, birds):
    numbered(birds, "001", "010")
    (birds / "dataset.yaml").write_text(TEMPLATE + f"classes: {given}\n", encoding="utf-8")
    assert load(birds).classes == ("wren", "robin")


def test_list_names_the_labels_in_their_order_whatever_they_look_like(birds):
    (birds / "dataset.yaml").write_text(TEMPLATE + "classes: [wren, redbreast]\n", encoding="utf-8")
    assert load(birds).classes == ("wren", "redbreast")
    (birds / "dataset.yaml").write_text(TEMPLATE + "classes: [wren]\n", encoding="utf-8")
    with pytest.raises(UserError, match="classes: 1 names for 2 classes, house_wren, robin; a list has one for each"):
        load(birds)


def test_number_that_could_be_two_folders_is_refused(birds):
    numbered(birds, "01", "001")
    (birds / "dataset.yaml").write_text(TEMPLATE + "classes: {1: wren}\n", encoding="utf-8")
    with pytest.raises(UserError, match="there is no class '1'"):
        load(birds)


def test_all_that_a_folder_lacks_is_said_at_once(birds):
    (birds / "dataset.yaml").unlink()
    home = birds.rename(birds.with_name("my birds"))
    with pytest.raises(UserError) as error:
        load(home)
    assert "its name may only have letters, digits, _ and -" in str(error.value)
    assert "it has no dataset.yaml, with a line such as `template: a photo of a {}.`" in str(error.value)


def test_table_may_be_written_loosely(birds):
    rows = [f" ./{path.relative_to(birds)} , {path.parent.name} " for path in sorted(birds.rglob("*.jpg"))]
    table(birds, " Path ,LABEL\n" + "\n".join(rows))
    dataset = load(birds)
    assert dataset.classes == ("house wren", "robin") and not dataset.train[0].path.startswith("./")


def test_what_the_table_does_not_name_is_told_of(birds):
    rows = [f"{path.relative_to(birds)},{path.parent.name}" for path in sorted(birds.rglob("*.jpg"))]
    table(birds, "path,label\n" + "\n".join(rows[1:]))
    assert catalog.remarks(load(birds), birds.parent) == [
        f"ignored 1 files that are not in images.csv: {rows[0].split(',')[0]}"
    ]


def test_description_of_another_ending_is_pointed_at(birds):
    (birds / "dataset.yaml").rename(birds / "dataset.yml")
    with pytest.raises(UserError, match=r"it has no dataset.yaml, with .*; is dataset.yml meant to be it\?"):
        load(birds)


def test_one_file_under_two_spellings_is_refused(birds):
    table(birds, "path,label\nrobin/0.jpg,robin\n./robin/0.jpg,wren\n")
    with pytest.raises(UserError, match="images.csv, line 3: robin/0.jpg is listed twice"):
        load(birds)


def test_template_with_other_braces_is_refused_in_params_too():
    from pydantic import TypeAdapter, ValidationError

    from adapt.config import Template

    for text in ("a {kind} photo of a {}.", "a {0} photo of a {}.", "{} {", "a photo", "{{}}"):
        with pytest.raises(ValidationError):
            TypeAdapter(Template).validate_python(text)


@pytest.mark.parametrize(
    "names",
    [
        ("seg_train", "seg_test"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("x-train", "x-test"),
        ("train_dataset", "test_dataset"),
    ],
)
def test_folders_whose_names_hold_a_split_are_splits(names, tmp_path):
    assert load(in_splits(tmp_path / "my_birds", names)).classes == ("robin", "wren")


@pytest.mark.parametrize(
    "names", [("seg_train", "seg_test", "seg_pred"), ("train", "eval"), ("train", "evaluation", "val")]
)
def test_folders_whose_names_hold_splits_and_more_are_refused(names, tmp_path):
    with pytest.raises(UserError, match="are taken for splits"):
        load(in_splits(tmp_path / "my_birds", names))


def test_classes_that_sound_like_splits_are_classes(birds):
    for name in ("freight train", "crash test"):
        for number in range(3):
            put(birds / name / f"{number}.jpg")
    assert load(birds).classes == ("crash test", "freight train", "house wren", "robin")


def test_splits_below_the_classes_are_refused(birds):
    for name in ("train", "test"):
        put(birds / "robin" / name / "0.jpg")
    with pytest.raises(
        UserError, match="the class folder robin holds folders of splits, test and train; put the splits abo"
    ):
        load(birds)


def test_table_that_changed_after_the_split_was_drawn_has_to_agree(birds):
    rows = [(str(path.relative_to(birds)), path.parent.name) for path in sorted(birds.rglob("*.jpg"))]
    swap = {"robin": "house_wren", "house_wren": "robin"}
    for changed, told in (
        ([(path, swap[label]) for path, label in rows], "in the table and '"),
        (rows[:-1], "robin/3.jpg is not there in the table"),
    ):
        table(birds, "path,label\n" + "\n".join(",".join(row) for row in rows))
        assert load(birds).classes == ("house wren", "robin")
        table(birds, "path,label\n" + "\n".join(",".join(row) for row in changed))
        with pytest.raises(UserError, match=rf"images.csv and split.json disagree: .*{told}"):
            load(birds)


def test_table_of_a_spreadsheet_is_read(birds):
    """Quotes after blanks, and an empty row at the end."""
    rows = [f'"{path.relative_to(birds)}", "{path.parent.name}"' for path in sorted(birds.rglob("*.jpg"))]
    table(birds, "path, label\n" + "\n".join(rows) + "\n,\n")
    assert load(birds).classes == ("house wren", "robin")


def test_lines_of_a_table_are_counted_as_an_editor_does(birds):
    table(birds, "path,label\n\n\nrobin/0.jpg,robin\nrobin/99.jpg,robin\n")
    with pytest.raises(UserError, match="images.csv, line 5: there is no image"):
        load(birds)


@pytest.mark.parametrize("header", ["path,label,label", "path,Label,label", "path,name"])
def test_table_with_other_columns_than_one_of_each_is_refused(header, birds):
    table(birds, f"{header}\nrobin/0.jpg,a,b\n")
    with pytest.raises(UserError, match="images.csv: expected the columns path and label, got"):
        load(birds)


@pytest.mark.parametrize("given", ["{robin: ''}", "{robin: ' '}", "{robin: _}"])
def test_class_without_a_name_is_refused(given, birds):
    (birds / "dataset.yaml").write_text(TEMPLATE + f"classes: {given}\n", encoding="utf-8")
    with pytest.raises(UserError, match="classes: class 'robin' needs a name: it has no letter"):
        load(birds)


def test_pipe_in_a_folder_is_passed_over(birds):
    os.mkfifo(birds / "robin/pipe")
    assert catalog.remarks(load(birds), birds.parent)[0] == (
        "ignored 1 files that are not images of a class: robin/pipe"
    )


def test_name_of_another_encoding_is_refused(birds):
    (Path(os.fsdecode(bytes(birds / "robin") + b"/caf\xe9.jpg"))).write_bytes(jpeg(9))
    with pytest.raises(UserError, match="is not valid UTF-8; rename it"):
        load(birds)
    assert not (birds / "split.json").exists()


def test_broken_image_without_an_ending_is_an_image(birds):
    put(birds / "robin/photo", png(64)[:200])
    dataset = load(birds)
    assert not catalog.remarks(dataset, birds.parent)
    with pytest.raises(UserError, match="image robin/photo of dataset my_birds cannot be read"):
        dataset.image("robin/photo")


@pytest.mark.parametrize("text", ["{2020-13-45: x}", "[1, 2]", "{true: x}"])
def test_classes_of_other_types_are_refused_in_a_sentence(text, birds):
    (birds / "dataset.yaml").write_text(TEMPLATE + f"classes: {text}\n", encoding="utf-8")
    with pytest.raises(UserError, match="dataset.yaml"):
        load(birds)


def test_split_under_other_spellings_of_its_paths_is_the_same(birds):
    rows = {part: [[f"./{path}", label, name] for path, label, name in found] for part, found in ROWS.items()}
    (birds / "split.json").write_text(json.dumps(rows), encoding="utf-8")
    assert catalog.remarks(load(birds), birds.parent)[0].startswith("10 images, the first house_wren/2.jpg")
