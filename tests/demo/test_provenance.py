"""Where the numbers on the page come from."""

import json

import pytest

from adapt.demo import provenance
from adapt.errors import UserError


@pytest.fixture
def measured(model) -> dict:
    made = {key: model.made_from[key] for key in provenance.SAME}
    return {**made, "shots": 8, "split": "test", "accuracy": 0.875, "images": 1540}


def write(folder, content) -> None:
    (folder / provenance.METRICS).write_text(json.dumps(content), encoding="utf-8")


def test_saved_model_has_no_metrics(model, tmp_path):
    assert provenance.metrics(tmp_path, model.made_from) is None
    assert provenance.facts(model, None)[-1] == "accuracy not measured"


def test_accuracy_of_a_run_stands_with_its_images(model, measured, tmp_path):
    write(tmp_path, measured)
    found = provenance.facts(model, provenance.metrics(tmp_path, model.made_from))
    assert found[-1] == "accuracy 87.50 % of 1,540 test images"


def test_numbers_stand_with_preset_backbone_and_weights(model, measured):
    weights = model.made_from["weights"][:12]
    assert provenance.facts(model, measured)[:3] == ["backbone pocket", "preset pocket", f"weights {weights}"]


@pytest.mark.parametrize("changed", [{"seed": 2}, {"preset": "paper"}, {"accuracy": None}])
def test_metrics_of_another_run_are_refused(changed, model, measured, tmp_path):
    write(tmp_path, {**measured, **changed})
    with pytest.raises(UserError, match="is not of this run"):
        provenance.metrics(tmp_path, model.made_from)


def test_metrics_that_are_no_mapping_are_refused(model, tmp_path):
    write(tmp_path, [])
    with pytest.raises(UserError, match="is not of this run"):
        provenance.metrics(tmp_path, model.made_from)
