"""Predictions of a fitted model, and that saving and loading keep it."""

import json
import logging
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt.clip.backbone import freeze
from tests.api.conftest import QUICK


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "run"
    model.save(folder)
    return folder


def test_images_of_each_kind_are_predicted_alike(model, data, tmp_path):
    image = data.test.image(0)
    image.save(tmp_path / "one.png")
    kinds = [tmp_path / "one.png", str(tmp_path / "one.png"), image, np.asarray(image)]
    assert len(set(map(tuple, model.logits(kinds).tolist()))) == 1


def test_grey_array_is_an_image(model):
    assert model.logits([np.zeros((40, 30), np.uint8)]).shape == (1, 10)


def test_image_of_the_caller_stays_open(model, data, tmp_path):
    import PIL.Image

    data.test.image(0).save(tmp_path / "one.png")
    with PIL.Image.open(tmp_path / "one.png") as image:
        model.predict([image])
        assert image.convert("L").size == data.test.image(0).size


def test_prediction_is_the_class_of_the_largest_probability(model, data):
    found = model.predict_proba(data.test[:5])
    torch.testing.assert_close(found.sum(dim=1), torch.ones(5))
    assert model.predict(data.test[:5]) == [model.classes[label] for label in found.argmax(dim=1)]


def test_batches_change_nothing(model, data):
    torch.testing.assert_close(model.logits(data.test[:7], batch_size=2), model.logits(data.test[:7]))


def test_lengths_are_those_of_the_tensors(model):
    assert sum(map(sum, model.lengths().values())) == model.result.tokens == 18
    assert {branch: len(layers) for branch, layers in model.lengths().items()} == model.clip.layers


def test_loaded_model_has_the_same_logits(model, saved, clip, data):
    assert torch.equal(adapt.load(saved, clip).logits(data.test[:9]), model.logits(data.test[:9]))


def test_clip_of_a_loaded_model_is_found_by_itself(model, saved, data):
    assert torch.equal(adapt.load(saved).logits(data.test[:9]), model.logits(data.test[:9]))


def test_model_that_was_loaded_is_saved_the_same(saved, clip, tmp_path):
    adapt.load(saved, clip).save(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()
    }


def test_folder_that_is_there_is_kept(saved, model, tmp_path):
    with pytest.raises(adapt.UserError, match="already exists: pass overwrite=True or give another"):
        model.save(saved)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(adapt.UserError, match="already exists: it holds no model; give another"):
        model.save(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").is_file()


def test_model_is_overwritten_where_asked_for(model, tmp_path):
    model.save(tmp_path / "run")
    model.save(tmp_path / "run", overwrite=True)
    assert load_file(tmp_path / "run/prompts.safetensors")


def test_run_of_other_weights_is_refused(saved, clip):
    other = replace(clip, weights="0" * 64)
    with pytest.raises(
        adapt.UserError, match=r"was fitted to pocket with the weights \w{12}, but those of this pocket"
    ):
        adapt.load(saved, other)


def test_run_of_another_version_of_the_method_is_refused(saved, clip, tmp_path, model):
    made = {**model.made_from, "config": {**model.made_from["config"], "toks": 1}}
    replace(model, made_from=made).save(tmp_path / "run")
    with pytest.raises(adapt.UserError, match="of another version of adapt .*toks"):
        adapt.load(tmp_path / "run", clip)


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(adapt.UserError, match=r"prompts.safetensors is missing; make it with `Model.save`"):
        adapt.load(tmp_path)


def test_metadata_says_what_made_it(saved):
    from safetensors import safe_open

    with safe_open(saved / "prompts.safetensors", framework="pt") as file:
        made = json.loads(file.metadata()["made_from"])
    assert {key: made[key] for key in ("dataset", "method", "seed", "backbone", "pretrained", "preset")} == {
        "dataset": "digits", "method": "adapt", "seed": 1, "backbone": "pocket", "pretrained": "pocket",
        "preset": "pocket",
    }  # fmt: skip


def test_features_are_shared_by_several_fits(clip, data, model):
    features = adapt.teacher_features(clip, data)
    again = adapt.fit("adapt", clip, data, features=features, progress=False, **QUICK)
    assert all(torch.equal(value, again.result.tensors[name]) for name, value in model.result.tensors.items())


def test_features_of_another_seed_are_refused(clip, data):
    features = adapt.teacher_features(clip, adapt.load_dataset("digits").few_shot(shots=2, seed=2))
    with pytest.raises(adapt.UserError, match="features: these were made with another seed"):
        adapt.fit("adapt", clip, data, features=features)


def test_fit_leaves_the_callers_random_numbers(clip, data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    adapt.fit("clip_lora", clip, data, progress=False, optimizer={"epochs": 1, "n_iters_per_shot": None})
    assert torch.equal(torch.rand(3), expected)


def test_settings_of_the_caller_hold(clip, data):
    fitted = adapt.fit("coop", clip, data, progress=False, n_ctx=3, ctx_init=None, optimizer={"epochs": 1})
    assert fitted.config.n_ctx == 3 and len(fitted.log.history) == 1
    assert fitted.config.optimizer.lr == 0.02, "the rest stays as conf/ has it"


def test_budget_that_is_missed_is_told(clip, data):
    with pytest.warns(UserWarning, match="nothing will be pruned, since prune.warmup: 1 leaves none") as told:
        adapt.fit("adapt", clip, data, progress=False, optimizer={"epochs": 1}, prune={"warmup": 1})
    assert [warning.filename for warning in told] == [__file__]


def test_nothing_is_told_of_a_usual_fit(clip, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapt.fit("zero_shot", clip, data, progress=False)


def test_pair_of_towers_without_a_vit_is_refused_for_prompts_in_it(data, backbone):
    other = freeze("RN50", backbone.model, backbone.device)
    with pytest.raises(adapt.UserError, match=r"adapt.fit: vpt: these put prompts or adapters into the image tower"):
        adapt.fit("vpt", other, data)


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_context_of_the_caller_changes_no_number(context, clip, data, model):
    with context():
        again = adapt.fit("adapt", clip, data, progress=False, **QUICK)
        logits = again.logits(data.test[:3])
    assert all(torch.equal(value, again.result.tensors[name]) for name, value in model.result.tensors.items())
    assert torch.equal(logits, model.logits(data.test[:3]))


def test_default_type_of_the_caller_changes_no_number(clip, data, model):
    torch.set_default_dtype(torch.float64)
    try:
        again = adapt.fit("adapt", clip, data, progress=False, **QUICK)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(value, again.result.tensors[name]) for name, value in model.result.tensors.items())


def test_model_is_pickled_also_after_it_predicted(model, data):
    model.predict(data.test[:1])
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.logits(data.test[:3]), model.logits(data.test[:3]))


def test_models_are_themselves_alone(model, saved, clip):
    assert model in {model} and model != adapt.load(saved, clip)


def test_weights_may_be_a_path(data, tmp_path, monkeypatch):
    from adapt.api.clip import POCKET_WEIGHTS
    from adapt.runtime.packaged import find

    (tmp_path / "w.safetensors").write_bytes(find(POCKET_WEIGHTS).read_bytes())
    monkeypatch.chdir(tmp_path)
    clip = adapt.load_clip("pocket", Path("w.safetensors"))
    adapt.fit("zero_shot", clip, data, progress=False).save("run")
    monkeypatch.chdir("/")
    assert adapt.load(tmp_path / "run").clip.pretrained == str(tmp_path / "w.safetensors")


def test_loading_a_clip_leaves_random_numbers_and_logging(capfd):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    handlers = logging.root.handlers[:]
    adapt.load_clip("pocket")
    assert torch.equal(torch.rand(2), expected) and logging.root.handlers == handlers


def test_features_of_other_images_of_the_same_names_are_refused(clip, tmp_path):
    from tests.api.test_refusals import images

    one = adapt.load_dataset(images(tmp_path / "one/mine", ant=4, bee=4)).few_shot(shots=1, seed=1)
    other = adapt.load_dataset(images(tmp_path / "other/mine", bee=4, ant=4)).few_shot(shots=1, seed=1)
    with pytest.raises(adapt.UserError, match="features: these were made with another images"):
        adapt.fit("coop", clip, one, features=adapt.teacher_features(clip, other))


def test_name_of_an_optimizer_that_stays_leaves_its_other_keys(clip, data):
    fitted = adapt.fit("coop", clip, data, progress=False, optimizer={"name": "sgd", "epochs": 1})
    assert fitted.config.optimizer.lr == 0.02


def test_settings_may_be_tuples_and_numbers_of_numpy(clip, data):
    settings = {"augment": {"crop_scale": (0.5, 1.0)}, "optimizer": {"epochs": np.int64(1)}}
    assert len(adapt.fit("coop", clip, data, progress=False, **settings).log.history) == 1


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_clip_that_was_loaded_in_a_context_is_the_same(context, clip, data, model):
    with context():
        again = adapt.fit("adapt", adapt.load_clip("pocket"), data, progress=False, **QUICK)
    assert again.clip.weights == clip.weights
    assert all(torch.equal(value, again.result.tensors[name]) for name, value in model.result.tensors.items())


def test_model_that_was_loaded_under_another_default_type_is_the_same(clip, data, tmp_path):
    fitted = adapt.fit("linear_probe", clip, data, progress=False)
    fitted.save(tmp_path / "run")
    torch.set_default_dtype(torch.float64)
    try:
        loaded = adapt.load(tmp_path / "run")
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(loaded.logits(data.test[:3]), fitted.logits(data.test[:3]))
