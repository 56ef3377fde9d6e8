"""`adapt tune`: the library's fit on a folder of pictures, saved as a stage's run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import adapt
from adapt.data import dataset, splits
from adapt.runtime import signals
from adapt.training import run_folder
from adapt.training.trainer import Trainer
from tests.commands.conftest import FROZEN, QUICK

SETTINGS = {"optimizer": {"epochs": 3}, "prune": {"warmup": 1}}
RUN = {
    "prompts.safetensors", "classes.safetensors", "lengths.csv", "history.csv", "trace.csv", "cost.json",
    "metrics.json", "predictions.csv",
}  # fmt: skip


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files below a folder."""
    found = (path.stat() for path in sorted(folder.rglob("*")))
    return {str(number): (stat.st_size, stat.st_mtime_ns) for number, stat in enumerate(found)}


def test_run_holds_what_one_of_the_pipeline_holds_and_the_split(insects, tmp_path, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert {path.name for path in (tmp_path / "run").iterdir()} == RUN | {"split.json"}


def test_tuned_model_is_the_librarys(insects, tmp_path, clip, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    data = adapt.load_dataset(insects).few_shot(shots=2, seed=1)
    adapt.fit("adapt", clip, data, progress=False, **SETTINGS).save(tmp_path / "ours")
    ours, told = ((tmp_path / name / "prompts.safetensors").read_bytes() for name in ("ours", "run"))
    assert ours == told


def test_metrics_are_those_of_the_images_held_out(insects, tmp_path, clip, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    test, model = adapt.load_dataset(insects).test, adapt.load(tmp_path / "run", clip)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["accuracy"], metrics["images"], metrics["split"]) == (adapt.evaluate(model, test), 6, "test")


def test_zero_shot_accuracy_stands_beside_it(insects, tmp_path, clip, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    data = adapt.load_dataset(insects).few_shot(shots=2, seed=1)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert metrics["zero_shot"] == adapt.evaluate(adapt.fit("zero_shot", clip, data, progress=False), data.test)


def test_split_is_kept_in_the_run(insects, tmp_path, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    kept = splits.parse((tmp_path / "run/split.json").read_bytes(), tmp_path)
    data = adapt.load_dataset(insects)
    assert [tuple(part) for part in kept] == [tuple(part) for part in (data.train, data.val, data.test)]


def test_folder_of_pictures_is_left_as_it_was(insects, tmp_path, adapt_command):
    before = state(insects)
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert state(insects) == before


def test_table_of_pictures_does_as_well_as_a_folder(insects, tmp_path, adapt_command):
    rows = [f"{path.relative_to(insects)},{path.parent.name}" for path in sorted(insects.rglob("*.png"))]
    (insects / "mine.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    adapt_command("tune", insects / "mine.csv", "-o", tmp_path / "run", *FROZEN)
    assert adapt.load(tmp_path / "run").classes == ["ant", "bee", "wasp"]


def test_it_says_accuracy_lengths_and_what_comes_next(insects, tmp_path, adapt_command, capsys):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "insects: 3 classes, 6 images to train on, 3 to validate, 6 held out"
    assert lines[1].startswith("accuracy: ") and "on 6 images held out, zero-shot" in lines[1]
    assert lines[2].startswith("learned tokens by layer: text ")
    assert lines[3].endswith(f"adapt predict {tmp_path / 'run'} IMAGE …")


def test_output_that_is_there_is_kept(insects, tmp_path, adapt_command):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine", encoding="utf-8")
    for force in ([], ["--force"]):  # what holds no model is not replaced either
        with pytest.raises(adapt.UserError, match="--output: .*run already exists"):
            adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK, *force)
    assert (tmp_path / "run/notes.txt").read_text(encoding="utf-8") == "mine"


def test_force_replaces_a_model(insects, tmp_path, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    adapt_command("tune", insects, "-o", tmp_path / "run", *FROZEN, "--force")
    assert adapt.load(tmp_path / "run").name == "zero_shot"


def test_stopped_and_called_again_is_as_never_stopped(insects, tmp_path, adapt_command, monkeypatch):
    adapt_command("tune", insects, "-o", tmp_path / "whole", *QUICK)
    step, steps = Trainer.step, []

    def stopped(self, *given):
        steps.append(1)
        step(self, *given)
        if len(steps) == 2:
            signals.request_stop(signals.SIGNALS[0])

    monkeypatch.setattr(Trainer, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert not (tmp_path / "run").exists()
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    whole, run = ((tmp_path / name / "prompts.safetensors").read_bytes() for name in ("whole", "run"))
    assert whole == run
    assert not list(tmp_path.glob(".run*"))


def test_stopped_while_it_scores_it_does_not_train_again(insects, tmp_path, adapt_command, monkeypatch):
    write = run_folder.write_scores

    def stopped(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "write_scores", stopped)
    with pytest.raises(KeyboardInterrupt):
        adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    monkeypatch.setattr(run_folder, "write_scores", write)
    monkeypatch.setattr(Trainer, "step", lambda *given: pytest.fail("trained again"))
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert (tmp_path / "run/metrics.json").is_file()


def test_all_images_to_train_on_that_cannot_be_read_are_named(insects, tmp_path, adapt_command):
    for path in [*(insects / "ant").iterdir(), *(insects / "bee").iterdir()]:
        path.write_bytes(b"no image")
    with pytest.raises(adapt.UserError) as told:
        adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert len(str(told.value).splitlines()) == 6  # of each of the two classes two shots and one to validate
    assert not (tmp_path / "run").exists()


def test_images_held_out_that_cannot_be_read_are_told_before_the_tuning(insects, tmp_path, adapt_command, monkeypatch):
    broken = [insects / item.path for item in adapt.load_dataset(insects).test[:2]]
    for path in broken:
        path.write_bytes(b"no image")
    monkeypatch.setattr(Trainer, "step", lambda *given: pytest.fail("trained"))
    with pytest.raises(adapt.UserError) as told:
        adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    assert all(path.name in line for path, line in zip(broken, str(told.value).splitlines(), strict=True))


def test_folder_with_the_name_of_a_known_dataset_is_ones_own(insects, tmp_path, adapt_command):
    insects.rename(tmp_path / "digits")
    with pytest.warns(UserWarning, match="digits: called own_digits here, since that name is another dataset's"):
        adapt_command("tune", tmp_path / "digits", "-o", tmp_path / "run", *FROZEN)
    assert adapt.load(tmp_path / "run").made_from["dataset"] == "own_digits"


WRONG = {
    ("--shots", "0"): "--shots: expected a whole number from 1 to 4294967295, got 0",
    ("--seed", "-1"): "--seed: expected a whole number from 0 to 4294967295, got -1",
    ("--backbone", "pockt"): "--backbone: unknown backbone 'pockt'; did you mean 'pocket'?",
    ("--device", "mps"): "--device: mps asked for, but a Mac's GPU is not supported; set it to auto or cpu",
    ("--template", "x"): "--template: expected a text with one {} for the class name; got 'x'",
    ("--method", "cop"): "--method: unknown method 'cop'; did you mean 'coop'?",
    ("--pretrained", "openai"): "--pretrained: pocket has no weights called 'openai'; it has no tags, give a file",
    ("-S", "optimizer.lr=x"): "optimizer.lr: expected number, got 'x'",
    ("-S", "optimiser.lr=1"): "optimiser: unknown key; did you mean 'optimizer'?",
    ("-S", "optimizer.lr"): "--set: expected KEY=VALUE, such as optimizer.lr=0.01, got 'optimizer.lr'",
}


@pytest.mark.parametrize("wrong", WRONG, ids="=".join)
def test_wrong_argument_is_named(wrong, insects, tmp_path, adapt_command):
    with pytest.raises(adapt.UserError) as told:
        adapt_command("tune", insects, "-o", tmp_path / "run", "--backbone", "pocket", *wrong)
    assert str(told.value) == WRONG[wrong]


def test_method_that_the_backbone_cannot_take_is_named(insects, tmp_path, clip, adapt_command, monkeypatch):
    monkeypatch.setattr(adapt, "load_clip", lambda *given, **settings: replace(clip, name="RN50"))
    with pytest.raises(adapt.UserError, match="^adapt: these put prompts or adapters into the image tower"):
        adapt_command("tune", insects, "-o", tmp_path / "run", "--backbone", "RN50")


def test_images_to_train_on_are_decoded_once(insects, tmp_path, adapt_command, monkeypatch):
    opened, read = [], dataset.open_image
    monkeypatch.setattr(dataset, "open_image", lambda path: opened.append(path) or read(path))
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    data = adapt.load_dataset(insects).few_shot(shots=2, seed=1)
    trained_on = {insects / item.path for item in (*data.train, *data.val)}
    assert sorted(path for path in opened if path in trained_on) == sorted(trained_on)


def test_folder_that_is_not_there_is_named(tmp_path, adapt_command):
    with pytest.raises(adapt.UserError, match="FOLDER: there is no file or folder nowhere"):
        adapt_command("tune", "nowhere", "-o", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_threads_of_the_caller_stay_as_they_were(insects, tmp_path, adapt_command):
    before = torch.get_num_threads()
    adapt_command("tune", insects, "-o", tmp_path / "run", *FROZEN)
    assert torch.get_num_threads() == before
