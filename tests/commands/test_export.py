"""`adapt export`: from a run's folder to a file with the facts of the run."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import adapt
from adapt.data.dataset import center_crop, open_image, to_rgb
from tests.commands.conftest import QUICK


@pytest.fixture
def saved(model, tmp_path) -> Path:
    model.save(tmp_path / "run")
    return tmp_path / "run"


def test_file_says_of_the_images_held_out_what_predictions_csv_says(insects, tmp_path, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    adapt_command("export", tmp_path / "run", "-o", tmp_path / "out")
    with (tmp_path / "run/predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pixels = np.stack([center_crop(to_rgb(open_image(insects / row["path"])), 32) for row in rows])
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx")
    (found,) = session.run(None, {"pixels": pixels})
    assert [int(row["prediction"]) for row in rows] == np.asarray(found).argmax(axis=1).tolist()


def test_numbers_of_the_run_stand_in_the_card(insects, tmp_path, adapt_command):
    adapt_command("tune", insects, "-o", tmp_path / "run", *QUICK)
    adapt_command("export", tmp_path / "run", "-o", tmp_path / "out", "--format", "safetensors")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    card = " ".join((tmp_path / "out/README.md").read_text(encoding="utf-8").split())
    assert f"{100 * metrics['accuracy']:.2f} % of {metrics['images']} images" in card
    assert f"zero-shot CLIP: {100 * metrics['zero_shot']:.2f} %" in card


def test_saved_model_has_no_accuracy_in_its_card(saved, tmp_path, adapt_command, capsys):
    adapt_command("export", saved, "-o", tmp_path / "out", "--format", "safetensors")
    assert "No accuracy is known" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    *files, check = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in files] == [
        str(tmp_path / "out" / name) for name in ("README.md", "model.json", "model.safetensors")
    ]
    assert check.startswith("checked on real images: probabilities differ from the model's by")


def test_output_that_is_there_is_kept_unless_forced(saved, tmp_path, adapt_command):
    adapt_command("export", saved, "-o", tmp_path / "out", "--format", "safetensors")
    with pytest.raises(adapt.UserError, match="--output: .*out already exists: pass --force or give another"):
        adapt_command("export", saved, "-o", tmp_path / "out", "--format", "safetensors")
    adapt_command("export", saved, "-o", tmp_path / "out", "--format", "safetensors", "--force")


def test_folder_that_holds_no_exported_model_is_kept_even_then(saved, tmp_path, adapt_command):
    with pytest.raises(adapt.UserError, match="run already exists: it holds no exported model"):
        adapt_command("export", saved, "-o", saved, "--force")


def test_folder_that_holds_no_run_is_told(tmp_path, adapt_command):
    with pytest.raises(adapt.UserError, match="prompts.safetensors is missing"):
        adapt_command("export", tmp_path, "-o", tmp_path / "out")
