"""Knobs: what a method is told, and what is refused, with which words."""

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


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        ("coop", {"tokns": 4}, "knobs.coop.tokns: unknown key; did you mean 'tokens'?"),
        ("coop", {"tokens": 0}, "knobs.coop.tokens: expected greater than or equal to 1, got 0"),
        ("coop", {"tokens": "16"}, "knobs.coop.tokens: expected integer, got '16'"),
        ("coop", {"class_place": "ends"}, "knobs.coop.class_place: expected 'end', 'middle' or 'front', got 'ends'; "
         "did you mean 'end'?"),
        ("coop", {"tokens": 2, "words": "a photo of a"}, "knobs.coop.words: 'a photo of a' has 4 words, more than "
         "tokens: 2"),
        ("coop", {"words": None}, "knobs.coop.tokens: null takes as many tokens as words: has, which is null too"),
        ("coop", {"optimiser": {"lr": -1.0}}, "knobs.coop.optimiser.lr: expected greater than 0, got -1.0"),
        ("coop", {"optimiser": {"epoch": 3}}, "knobs.coop.optimiser.epoch: unknown key; did you mean 'epochs'?"),
        ("coop", {"optimiser": {"name": "adam"}}, "knobs.coop.optimiser.name: expected 'sgd' or 'adamw', got 'adam'"),
        ("coop", {"cases": [{"optimiser": {"epochs": 3}}]}, "knobs.coop.cases[0]: expected a list of shots or of "
         "datasets and the knobs that it changes"),
        ("coop", {"cases": [{"shots": 16, "tokens": 3}]}, "knobs.coop.cases[0]: expected a list of shots"),
        ("coop", {"cases": [{"shots": [99], "tokns": 3}]}, "knobs.coop.tokns: unknown key"),
        ("vpt", {"depth": 7}, "knobs.vpt.depth: the backbone has 6 layers in its image branch, got 7"),
        ("vpt", {"template": "a photo"}, "knobs.vpt.template: a template has one {} for the class name, got 'a photo'"),
        ("ivlp", {"text_tokens": 5, "words": "a photo of a"}, "knobs.ivlp.words: 'a photo of a' has fewer words than "
         "text_tokens: 5"),
        ("maple", {"depth": 9}, "knobs.maple.depth: the backbone has 6 layers in its text branch, got 9"),
        ("promptsrc", {"deviation": 0.0}, "knobs.promptsrc.deviation: expected greater than 0, got 0.0"),
        ("promptsrc", {"optimiser": {"name": "adamw"}}, "knobs.promptsrc.optimiser.name: expected 'sgd', got 'adamw'"),
        ("clip_lora", {"dropout": 1.0}, "knobs.clip_lora.dropout: expected less than 1, got 1.0"),
        ("clip_lora", {"optimiser": {"epochs": 3}}, "knobs.clip_lora.optimiser: give one of epochs and steps_per_shot "
         "and set the other to null, got epochs 3 and steps_per_shot 12"),
        ("zero_shot", {"optimiser": {"lr": 1.0}}, "knobs.zero_shot.optimiser: unknown key; "),
        ("zero_shot", {"text": "templates"}, "knobs.zero_shot.text: expected 'template' or 'ensemble', got "
         "'templates'; did you mean 'template'?"),
        ("adapt", {"prune": {"criterion": "snap"}}, "knobs.adapt.prune.criterion: expected "),
        ("dpl", {"longest": 0}, "knobs.dpl.longest: expected greater than or equal to 1, got 0"),
        ("linear_probe", {"coarse": []}, "knobs.linear_probe.coarse: "),
    ],
)  # fmt: skip
def test_wrong_knob_is_refused(method, changes, expected, settle):
    with pytest.raises(UserError) as error:
        settle(method, changes)
    assert f"params.yaml: {expected}" in str(error.value)


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
