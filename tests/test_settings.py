"""Knobs: what a method is told; what is refused stands in refusals.yaml."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt import methods, settings
from adapt.errors import UserError
from adapt.params import Params

ROOT = Path(__file__).parents[1]


@pytest.fixture
def settle():
    """A function: a method's settings in the pocket with some knobs changed."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")

    def make(method: str, changes: dict | None = None, shots: int = 16, dataset: str = "digits"):
        params = Params(**values)
        sections = {name: getattr(params, name) for name in ("context", "prune", "distill", "optimiser")}
        knobs = settings.merge(params.knobs, {method: changes or {}})
        return settings.settle(method, dataset, shots, params.backbone.name, knobs, sections)

    return make


@pytest.mark.parametrize("method", methods.names())
def test_pocket_settings_are_accepted(method, settle):
    assert settle(method)


def test_section_of_the_params_stands_in_for_what_the_knobs_leave_out(settle):
    assert settle("adapt").optimiser.lr == 0.0005 and settle("adapt").prune.target == 18


def test_knobs_go_before_the_section(settle):
    settled = settle("uniform", {"prune": {"target": 6}})
    assert (settled.prune.target, settled.prune.every) == (6, settle("adapt").prune.every)


def test_case_holds_for_its_shots(settle):
    cases = {"cases": [{"shots": [1, 2], "optimiser": {"epochs": 3}}]}
    assert [settle("coop", cases, shots).optimiser.epochs for shots in (1, 2)] == [3, 3]
    assert settle("coop", cases, 16).optimiser.epochs != 3


def test_case_needs_all_its_conditions(settle):
    cases = {"cases": [{"shots": [16], "datasets": ["mnist"], "tokens": 7}]}
    assert [settle("coop", cases, 16, dataset).tokens for dataset in ("mnist", "digits")] == [7, None]


def test_last_case_that_fits_wins(settle):
    cases = {"cases": [{"shots": [16], "tokens": 7}, {"datasets": ["digits"], "tokens": 9}]}
    assert settle("coop", cases).tokens == 9


def test_missing_knob_is_refused(settle):
    with pytest.raises(UserError, match=r"^params.yaml: knobs.kgcoop.weight: missing$"):
        params = Params(**YAML(typ="safe").load(ROOT / "params.yaml"))
        knobs = {"kgcoop": {key: value for key, value in params.knobs["kgcoop"].items() if key != "weight"}}
        settings.settle("kgcoop", "digits", 16, "pocket", knobs, {})


def test_settings_are_read_back(settle):
    settled = settle("clip_lora")
    assert settings.restore("clip_lora", settled.model_dump()) == settled


def test_settings_of_another_version_are_refused(settle):
    with pytest.raises(UserError, match=r"settings of another version of coop \(toks: .*\); run `dvc repro`"):
        settings.restore("coop", settle("coop").model_dump() | {"toks": 1})
