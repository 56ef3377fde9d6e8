"""The options that `adapt.fit` passes on to the training, and its later warnings."""

import dataclasses

import pytest

import adapt
from adapt.training import fit
from tests.api.conftest import QUICK


@pytest.fixture
def passed(clip, data, model, monkeypatch):
    """A function that calls `fit` without training and returns the options passed on.

    Its result says that no step could be recorded.
    """
    log = dataclasses.replace(model.log, not_recorded="out of luck")

    def call(**options):
        calls = []
        monkeypatch.setattr(fit, "fit", lambda *_, **given: calls.append(given) or model.result._replace(log=log))
        adapt.fit("adapt", clip, data, progress=False, **options)
        return calls[0]

    return call


@pytest.mark.filterwarnings("ignore:.*not replayed as CUDA graphs")
@pytest.mark.parametrize(("options", "expected"), [({}, True), ({"cuda_graphs": False}, False)])
def test_steps_are_recorded_unless_asked_otherwise(options, expected, passed):
    assert passed(**options)["cuda_graphs"] is expected


def test_where_steps_could_not_be_recorded_a_warning_says_why(passed):
    with pytest.warns(UserWarning, match=r"^adapt on digits: training steps were not replayed .* \(out of luck\)"):
        passed()


def test_each_epochs_row_is_passed_on_as_it_is_over(clip, data, model):
    rows = []
    again = adapt.fit("adapt", clip, data, progress=False, on_epoch=rows.append, **QUICK)
    assert rows == again.log.history == model.log.history
