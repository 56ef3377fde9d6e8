"""The metrics of a run: whose they are, and whether they are whole."""

import json

import pytest

from adapt.errors import UserError
from adapt.training import run_folder

MADE = {"preset": "pocket", "backbone": "pocket", "weights": "f1", "dataset": "digits", "method": "adapt", "seed": 0}
METRICS = {**MADE, "shots": 8, "split": "test", "accuracy": 0.875, "images": 1540}


def write(folder, content) -> None:
    (folder / run_folder.METRICS).write_text(json.dumps(content), encoding="utf-8")


def test_run_that_was_not_scored_has_no_metrics(tmp_path):
    assert run_folder.read_metrics(tmp_path, MADE) is None


def test_metrics_of_a_run_are_read(tmp_path):
    write(tmp_path, METRICS)
    assert run_folder.read_metrics(tmp_path, MADE) == METRICS


@pytest.mark.parametrize("key", run_folder.SAME)
def test_metrics_of_another_run_are_refused(key, tmp_path):
    write(tmp_path, {**METRICS, key: "another"})
    with pytest.raises(UserError, match=rf"metrics.json: its {key} is another, but the model's is {MADE[key]}; "):
        run_folder.read_metrics(tmp_path, MADE)


@pytest.mark.parametrize("key", run_folder.MEASURED)
def test_metrics_that_lack_a_number_are_refused(key, tmp_path):
    write(tmp_path, {name: value for name, value in METRICS.items() if name != key})
    with pytest.raises(UserError, match=f"{key} is missing; evaluate the run again"):
        run_folder.read_metrics(tmp_path, MADE)


def test_metrics_that_are_no_mapping_are_refused(tmp_path):
    write(tmp_path, [])
    with pytest.raises(UserError, match="preset is missing; evaluate the run again"):
        run_folder.read_metrics(tmp_path, MADE)
