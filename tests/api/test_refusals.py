"""The user's mistakes: each a UserError whose one sentence says what is wrong, where, and what to do."""

import numpy as np
import pytest
from PIL import Image

import adapt


def images(folder, **classes: int):
    """A folder per class, of so many images."""
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
            "few_shot: shots: expected a whole number from 1 on, got 0",
        ),
        (
            lambda clip, data: data.few_shot(shots=2, seed=-1),
            "few_shot: seed: expected a whole number from 0 on, got -1",
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
            "adapt.fit: expected load_dataset(…).few_shot(shots=…, seed=…), got Dataset",
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
            lambda clip, data: adapt.fit("adapt", clip, data, prune={"target": 30}),
            "adapt.fit: prune.target: 30 tokens are more than the start, 24 = prompts.initial_length 2 × 12 layers of "
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
    with pytest.raises(adapt.UserError, match="evaluate: expected a split of a dataset, such as data.test, got list"):
        adapt.evaluate(model, ["a.png"])


@pytest.mark.parametrize("classes", [{"ant": 1, "bee": 1}, {"ant": 2, "bee": 2}])
def test_classes_of_too_few_images_are_refused(classes, tmp_path):
    with pytest.raises(adapt.UserError, match=r"class 'ant' has \d images, fewer than 3, one for each split"):
        adapt.load_dataset(images(tmp_path / "mine", **classes))


def test_folder_of_one_class_is_refused(tmp_path):
    with pytest.raises(adapt.UserError, match="mine has 1 classes of images; a dataset has two or more"):
        adapt.load_dataset(images(tmp_path / "mine", ant=4))


def test_folder_named_as_a_known_dataset_is_refused(tmp_path):
    with pytest.raises(adapt.UserError, match="eurosat is the name of another dataset; rename it"):
        adapt.load_dataset(images(tmp_path / "eurosat", ant=4, bee=4))


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


def test_missing_package_of_the_pocket_is_a_sentence(monkeypatch):
    from adapt.data import glyphs

    monkeypatch.setattr(glyphs, "find_spec", lambda name: None)
    with pytest.raises(adapt.UserError, match=r"pip install 'adapt-clip\[pocket\]'"):
        adapt.load_dataset("remix")
