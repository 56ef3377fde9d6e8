"""Mistakes of the user: each raises a UserError of one sentence.

It says what is wrong, where, and what to do.
"""

import numpy as np
import pytest
from PIL import Image

import adapt


def images(folder, **classes: int):
    """Make a folder per class, with a number of images."""
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((40, 40, 3), 20 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda clip, data: adapt.load_dataset("digit"), "unknown dataset 'digit'; did you mean 'digits'?"),
        (lambda clip, data: adapt.load_dataset("./none"), "adapt.load_dataset: there is no file or folder none"),
        (
            lambda clip, data: adapt.load_dataset("digits", template="a {}."),
            "adapt.load_dataset: template and classes are for your own images; digits has its own",
        ),
        (
            lambda clip, data: data.few_shot(shots=0, seed=1),
            "few_shot: shots: expected a whole number from 1 to 4294967295, got 0",
        ),
        (
            lambda clip, data: data.few_shot(shots=2, seed=-1),
            "few_shot: seed: expected a whole number from 0 to 4294967295, got -1",
        ),
        (
            lambda clip, data: adapt.load_clip("pocke"),
            "adapt.load_clip: name: unknown backbone 'pocke'; did you mean 'pocket'?",
        ),
        (
            lambda clip, data: adapt.load_clip("ViT-B-32", "opnai"),
            "adapt.load_clip: pretrained: ViT-B-32 has no weights called 'opnai'; did you mean 'openai'?",
        ),
        (
            lambda clip, data: adapt.load_clip("pocket", precision="half"),
            "adapt.load_clip: precision: unknown 'half'; known: bfloat16, float32",
        ),
        (
            lambda clip, data: adapt.load_clip("pocket", "none.safetensors"),
            "adapt.load_clip: pretrained: there is no file none.safetensors; give a file or an open_clip tag",
        ),
        (
            lambda clip, data: adapt.fit("adpt", clip, data),
            "adapt.fit: unknown method 'adpt'; did you mean 'adapt'?",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, adapt.load_dataset("digits")),
            "adapt.fit: data: expected load_dataset(…).few_shot(shots=…, seed=…), got Dataset",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, on_epoch="print"),
            "adapt.fit: on_epoch: expected a function of an epoch's row, got 'print'",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, preset="pockt"),
            "adapt.fit: unknown preset 'pockt'; did you mean 'pocket'?",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, prune={"traget": 3}),
            "adapt.fit: prune.traget: unknown key; did you mean 'target'?",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, prun={"target": 3}),
            "adapt.fit: prun: unknown key; did you mean 'prune'?",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, prune={"target": 40}),
            "adapt.fit: prune.target: 40 tokens exceed the initial 36 = prompts.initial_length 3 × 12 layers of "
            "the backbone; lower prune.target or raise prompts.initial_length",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, optimizer={"lr": "fast"}),
            "adapt.fit: optimizer.lr: expected number, got 'fast'",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, augment={"crop": 1}),
            "adapt.fit: augment.crop: unknown key; did you mean 'crop_scale'?",
        ),
        (
            lambda clip, data: adapt.fit("adapt", clip, data, augment=3),
            "adapt.fit: augment: expected a mapping of settings, got 3",
        ),
        (
            lambda clip, data: adapt.fit("coop", clip, data, n_ctx=0),
            "adapt.fit: n_ctx: expected greater than 0, got 0",
        ),
        (
            lambda clip, data: adapt.load_clip(None),
            "adapt.load_clip: name: expected the name of an architecture, got None",
        ),
        (
            lambda clip, data: adapt.load_clip("pocket", 3),
            "adapt.load_clip: pretrained: expected a tag or a file, got 3",
        ),
        (
            lambda clip, data: adapt.load_clip("pocket", device="gpu"),
            "adapt.load_clip: device: unknown 'gpu'; known: auto, cpu, cuda, cuda:0 …",
        ),
        (
            lambda clip, data: adapt.load_clip("pocket", text_batch_size=0),
            "adapt.load_clip: text_batch_size: expected a whole number from 1 on, got 0",
        ),
        (
            lambda clip, data: adapt.load_dataset(None),
            "adapt.load_dataset: source: expected the name of a dataset, or the path of a folder or a CSV file, "
            "got None",
        ),
        (lambda clip, data: adapt.load_dataset(""), "adapt.load_dataset: source: expected a name or a path, got ''"),
        (lambda clip, data: adapt.fit("coop", "pocket", data), "adapt.fit: clip: expected load_clip(…), got 'pocket'"),
        (lambda clip, data: adapt.fit(None, clip, data), "adapt.fit: method: expected the name of a method, got None"),
        (
            lambda clip, data: adapt.fit("coop", clip, data, features=1),
            "adapt.fit: features: expected teacher_features(clip, data), got 1",
        ),
        (
            lambda clip, data: adapt.fit("coop", clip, data, checkpoint=1),
            "adapt.fit: checkpoint: expected a path, got 1",
        ),
        (
            lambda clip, data: adapt.fit("coop", clip, data, checkpoint="/"),
            "adapt.fit: checkpoint: expected the path of a file to be, got '/'",
        ),
        (
            lambda clip, data: adapt.fit("coop", clip, data, checkpoint="/dev/null/state"),
            "adapt.fit: checkpoint: /dev/null: File exists",
        ),
        (
            lambda clip, data: adapt.fit("coop", clip, data, augmnt={}),
            "adapt.fit: augmnt: unknown key; did you mean 'augment'?",
        ),
        (
            lambda clip, data: adapt.teacher_features(clip, data, augmentt={}),
            "adapt.teacher_features: augmentt: unknown key; did you mean 'augment'?",
        ),
        (
            lambda clip, data: adapt.teacher_features(clip, adapt.load_dataset("digits")),
            "adapt.teacher_features: data: expected load_dataset(…).few_shot(shots=…, seed=…), got Dataset",
        ),
        (lambda clip, data: adapt.load("/nowhere"), "adapt.load: there is no folder /nowhere"),
        (lambda clip, data: adapt.load(None), "adapt.load: folder: expected a path, got None"),
        (
            lambda clip, data: adapt.evaluate("run", data.test),
            "evaluate: model: expected what fit or load gives, got 'run'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistake_is_a_sentence(work, says, clip, data):
    with pytest.raises(adapt.UserError) as error:
        work(clip, data)
    assert str(error.value) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "predict: there are no images: the list is empty"),
        ("a.png", "predict: expected a list of images, got a single one: put it into a list"),
        (
            [np.zeros((4, 4, 3), np.float32)],
            "image number 0, counted from 0, cannot be read (expected a path, a Pillow image or an array of uint8 "
            "[height, width, 3] or [height, width], got ndarray of float32 [4, 4, 3]); replace it or leave it out",
        ),
        (
            [np.zeros((4, 4), np.uint8), None],
            "image number 1, counted from 0, cannot be read (expected a path, a Pillow image or an array of uint8 "
            "[height, width, 3] or [height, width], got NoneType of object []); replace it or leave it out",
        ),
        (
            [np.zeros((0, 4), np.uint8)],
            "image number 0, counted from 0, cannot be read (it has no pixels); replace it or leave it out",
        ),
    ],
    ids=str,
)
def test_images_that_cannot_be_read_are_named(given, says, model):
    with pytest.raises(adapt.UserError) as error:
        model.predict(given)
    assert str(error.value) == says


def test_broken_file_is_named_by_its_path(model, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(adapt.UserError, match=r"^image .*/broken.png cannot be read \(cannot identify image file"):
        model.predict([tmp_path / "broken.png"])


def test_missing_file_is_named_by_its_path(model, tmp_path):
    with pytest.raises(adapt.UserError, match=r"^image .*/none.png cannot be read \(.*No such file"):
        model.predict([str(tmp_path / "none.png")])


def test_evaluation_of_no_images_is_refused(model, data):
    with pytest.raises(adapt.UserError, match="evaluate: there are no images: this split of digits is empty"):
        adapt.evaluate(model, data.test[:0])


def test_evaluation_of_other_classes_is_refused(model):
    with pytest.raises(adapt.UserError, match="the classes of phosphor are not those that the model was fitted to"):
        adapt.evaluate(model, adapt.load_dataset("phosphor").test)


def test_evaluation_of_paths_is_refused(model):
    with pytest.raises(adapt.UserError, match="evaluate: split: expected a split .*, such as data.test, got list"):
        adapt.evaluate(model, ["a.png"])


@pytest.mark.parametrize("classes", [{"ant": 1, "bee": 1}, {"ant": 2, "bee": 2}])
def test_classes_of_too_few_images_are_refused(classes, tmp_path):
    with pytest.raises(adapt.UserError, match=r"class 'ant' has \d images; it needs at least 3, one for each split"):
        adapt.load_dataset(images(tmp_path / "mine", **classes))


def test_folder_of_one_class_is_refused(tmp_path):
    with pytest.raises(adapt.UserError, match="mine has 1 classes of images; a dataset needs two or more"):
        adapt.load_dataset(images(tmp_path / "mine", ant=4))


def test_broken_image_of_a_folder_is_named(tmp_path, clip):
    folder = images(tmp_path / "mine", ant=4, bee=4)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    data = adapt.load_dataset(folder).few_shot(shots=1, seed=1)
    with pytest.raises(adapt.UserError, match=r"image ant/\d.png of dataset mine cannot be read"):
        adapt.fit("adapt", clip, data)


def test_classes_of_the_same_words_are_refused(tmp_path, clip):
    data = adapt.load_dataset(images(tmp_path / "mine", ant=4, Ant=4)).few_shot(shots=1, seed=1)
    with pytest.raises(adapt.UserError, match="dataset mine: 'Ant' .* and 'ant' .* are the same words to CLIP"):
        adapt.fit("adapt", clip, data)


@pytest.mark.parametrize("single", [np.zeros((32, 32, 3), np.uint8), b"abc", Image.new("RGB", (4, 4))], ids=type)
def test_single_image_is_not_taken_for_many(single, model):
    with pytest.raises(adapt.UserError, match="expected a list of images, got a single one"):
        model.predict(single)


def test_batch_of_no_images_is_refused(model, data):
    with pytest.raises(adapt.UserError, match="predict: batch_size: expected a whole number from 1 on, got 0"):
        model.predict(data.test[:2], batch_size=0)


@pytest.mark.parametrize("place", ["/proc/run", "/dev/null/run"])
def test_place_that_cannot_be_written_is_named(place, model):
    with pytest.raises(adapt.UserError, match=r"^save: /\w+"):
        model.save(place)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lengths.csv", "branch,layer,length\n"),
        ("lengths.csv", "branch,layer\ntext,0\n"),
        ("lengths.csv", "branch,layer,length\ntext,0,many\n"),
        ("lengths.csv", "branch,layer,length\ntext,0,5\n"),
        ("history.csv", "epoch,loss\n0\n"),
        ("cost.json", "[]"),
        ("cost.json", "{}"),
    ],
)
def test_model_with_an_edited_file_is_refused(name, content, model, clip, tmp_path):
    model.save(tmp_path / "run")
    (tmp_path / "run" / name).write_text(content, encoding="utf-8")
    with pytest.raises(adapt.UserError, match="is not as `Model.save` writes it|lengths.csv is not of these prompts"):
        adapt.load(tmp_path / "run", clip)


@pytest.mark.parametrize("change", [{"seed": "1"}, {"classes": ["one"]}, {"template": None}])
def test_model_of_other_metadata_is_refused(change, model, clip, tmp_path):
    from dataclasses import replace

    replace(model, made_from={**model.made_from, **change}).save(tmp_path / "run")
    with pytest.raises(adapt.UserError, match="is not as `Model.save` writes it"):
        adapt.load(tmp_path / "run", clip)


def test_model_of_a_method_that_is_not_known_says_how_to_make_it_known(model, clip, tmp_path):
    from dataclasses import replace

    replace(model, made_from={**model.made_from, "method": "mine"}).save(tmp_path / "run")
    with pytest.raises(
        adapt.UserError, match="of the method 'mine', which is not known here; .*call adapt.register_method"
    ):
        adapt.load(tmp_path / "run", clip)


def test_table_of_another_separator_is_told_so(tmp_path):
    (tmp_path / "ages.csv").write_text("path;label\na.png;1\n", encoding="utf-8")
    with pytest.raises(adapt.UserError, match="got path;label; separate them by commas"):
        adapt.load_dataset(tmp_path / "ages.csv")
