"""Where the numbers on the page come from."""

import pytest

from adapt.demo import provenance
from adapt.training.run_folder import SAME


@pytest.fixture
def measured(model) -> dict:
    made = {key: model.made_from[key] for key in SAME}
    return {**made, "shots": 8, "split": "test", "accuracy": 0.875, "images": 1540}


def test_saved_model_has_no_accuracy(model):
    assert provenance.facts(model, None)[-1] == "accuracy not measured"


def test_accuracy_of_a_run_stands_with_its_images(model, measured):
    assert provenance.facts(model, measured)[-1] == "accuracy 87.50 % of 1,540 test images"


def test_numbers_stand_with_preset_backbone_and_weights(model, measured):
    weights = model.made_from["weights"][:12]
    assert provenance.facts(model, measured)[:3] == ["backbone pocket", "preset pocket", f"weights {weights}"]
