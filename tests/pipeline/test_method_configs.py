"""Knobs: what a method is told; what is refused stands in refusals.yaml."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt import methods
from adapt.errors import UserError
from adapt.pipeline import method_configs
from adapt.pipeline.params import Params, compose

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settle():
    """A function: a method's settings in the pocket with some knobs changed."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")

    def make(method: str, changes: dict | None = None, shots: int = 16, dataset: str = "digits"):
        params = Params(**values)
        sections = {name: getattr(params, name) for name in ("context", "prune", "distill", "optimiser")}
        knobs = method_configs.merge(params.method, {method: changes or {}})
        return method_configs.resolve(method, dataset, shots, params.backbone.name, knobs, sections)

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
        knobs = {"kgcoop": {key: value for key, value in params.method["kgcoop"].items() if key != "weight"}}
        method_configs.resolve("kgcoop", "digits", 16, "pocket", knobs, {})


def test_settings_are_read_back(settle):
    settled = settle("clip_lora")
    assert method_configs.restore("clip_lora", settled.model_dump()) == settled


def test_settings_of_another_version_are_refused(settle):
    with pytest.raises(UserError, match=r"settings of another version of coop \(toks: .*\); run `dvc repro`"):
        method_configs.restore("coop", settle("coop").model_dump() | {"toks": 1})


TIP = {  # alpha and beta at the start, and where the search ends: each dataset's file in configs/ of Tip-Adapter's code
    "imagenet": (1.17, 1, 3, 7), "caltech101": (3, 1, 5, 12), "oxford_pets": (1.17, 1, 3, 7),
    "stanford_cars": (3, 1, 10, 20), "oxford_flowers": (10, 1, 50, 50), "food101": (1.17, 1, 10, 10),
    "fgvc_aircraft": (5, 1, 30, 30), "sun397": (1.17, 1, 10, 12), "dtd": (2, 1, 13, 13), "eurosat": (2, 1, 10, 12),
    "ucf101": (3, 1, 3, 7),
}  # fmt: skip


@pytest.mark.parametrize("method", ["tip_adapter", "tip_adapter_f"])
@pytest.mark.parametrize("dataset", TIP)
def test_tip_adapter_has_its_authors_settings(dataset, method, settle):
    settled = settle(method, dataset=dataset)
    assert (settled.alpha, settled.beta, settled.alpha_to, settled.beta_to) == TIP[dataset]
    assert (settled.alpha_steps, settled.beta_steps) == (20, 200)
    assert len(settled.templates or []) == (7 if dataset == "imagenet" else 0)
    if method == "tip_adapter_f":
        assert settled.optimiser.epochs == (100 if dataset == "eurosat" else 20)


@pytest.fixture
def paper():
    """A function: a method's settings in the paper preset on a dataset."""
    params = Params(**YAML(typ="safe").load(compose(["preset=paper"], ROOT / "conf")))
    sections = {name: getattr(params, name) for name in ("context", "prune", "distill", "optimiser")}
    return lambda method, dataset: method_configs.resolve(
        method, dataset, 16, params.backbone.name, params.method, sections
    )


def test_kgcoops_frozen_text_is_its_authors(paper):
    assert paper("kgcoop", "dtd").templates == ["a photo of a {}, a type of texture."]
    assert paper("kgcoop", "oxford_pets").templates is None


PROGRAD = {  # where its authors' text differs from CoOp's template: what the context starts from, and the teacher's
    "oxford_pets": ("a type of pet, a photo of a", "a type of pet, a photo of a {}."),
    "oxford_flowers": ("a type of flower, a photo of a", "a type of flower, a photo of a {}."),
    "fgvc_aircraft": ("a type of aircraft, a photo of a", "a type of aircraft, a photo of a {}."),
    "dtd": ("a texture of", "a texture of {}."),
    "food101": ("a type of food, a photo of", "a type of food, a photo of {}."),
    "eurosat": ("a centered satellite photo of", None),
    "ucf101": ("a photo of a person doing", None),
    "caltech101": ("a photo of a", None),
}


@pytest.mark.parametrize("dataset", PROGRAD)
def test_prograds_text_is_its_authors(dataset, paper):
    words, template = PROGRAD[dataset]
    assert (paper("prograd", dataset).words, paper("prograd", dataset).templates) == (words, template and [template])


def test_warmup_that_leaves_nothing_to_prune_is_told_of(settle):
    def caution(method: str, **prune):
        return method_configs.config_warning(method, "pocket", settle(method, {"prune": prune}))

    assert caution("adapt", warmup=15) == (
        "nothing will be pruned, since prune.warmup: 15 leaves none of 15 epochs: it ends with 24 tokens, not with the "
        "18 of prune.target"
    )
    assert caution("random_prune", warmup=15)
    assert [caution("adapt", warmup=14), caution("adapt", warmup=15, target=24), caution("post_hoc", warmup=15)] == [
        None, None, None,
    ]  # fmt: skip
    assert method_configs.config_warning("coop", "pocket", settle("coop")) is None
