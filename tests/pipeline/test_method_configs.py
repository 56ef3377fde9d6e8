"""The config of every method: the source of each value.

Mistakes in configs are in refusals.yaml.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt import methods
from adapt.errors import UserError
from adapt.pipeline import method_configs
from adapt.pipeline.params import Params
from adapt.settings import resolution
from adapt.settings.composition import compose

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settle():
    """A function: a method's settings in the pocket with some values changed."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")

    def make(method: str, changes: dict | None = None, shots: int = 16, dataset: str = "digits"):
        params = Params(**{**values, "shots": shots})
        entries = resolution.merge(params.method, {method: changes or {}})
        return method_configs.of_params(params.model_copy(update={"method": entries}), method, dataset)

    return make


@pytest.mark.parametrize("method", methods.names())
def test_pocket_settings_are_accepted(method, settle):
    assert settle(method)


def test_section_of_the_params_stands_in_for_what_a_method_leaves_out(settle):
    assert settle("adapt").optimizer.lr == 0.0035 and settle("adapt").prune.target == 18


def test_an_entry_goes_before_the_section(settle):
    settled = settle("uniform", {"prune": {"target": 6}})
    assert (settled.prune.target, settled.prune.every) == (6, settle("adapt").prune.every)


def test_override_holds_for_its_shots(settle):
    overrides = {"overrides": [{"shots": [1, 2], "optimizer": {"epochs": 3}}]}
    assert [settle("coop", overrides, shots).optimizer.epochs for shots in (1, 2)] == [3, 3]
    assert settle("coop", overrides, 16).optimizer.epochs != 3


def test_override_needs_all_its_conditions(settle):
    overrides = {"overrides": [{"shots": [16], "datasets": ["mnist"], "n_ctx": 7}]}
    assert [settle("coop", overrides, 16, dataset).n_ctx for dataset in ("mnist", "digits")] == [7, None]


def test_last_override_that_holds_wins(settle):
    overrides = {"overrides": [{"shots": [16], "n_ctx": 7}, {"datasets": ["digits"], "n_ctx": 9}]}
    assert settle("coop", overrides).n_ctx == 9


def test_missing_key_is_refused(settle):
    with pytest.raises(UserError, match=r"^params.yaml: method.kgcoop.w: missing$"):
        params = Params(**YAML(typ="safe").load(ROOT / "params.yaml"))
        entries = {"kgcoop": {key: value for key, value in params.method["kgcoop"].items() if key != "w"}}
        method_configs.of_params(params.model_copy(update={"method": entries}), "kgcoop", "digits")


def test_settings_are_read_back(settle):
    settled = settle("clip_lora")
    assert method_configs.restore("clip_lora", settled.model_dump()) == settled


def test_settings_of_another_version_are_refused(settle):
    with pytest.raises(UserError, match=r"config is of another version of coop \(toks: .*\); run `dvc repro`"):
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
    assert (settled.init_alpha, settled.init_beta, *reversed(settled.search_scale)) == TIP[dataset]
    assert settled.search_step == [200, 20]
    assert len(settled.templates or []) == (7 if dataset == "imagenet" else 0)
    if method == "tip_adapter_f":
        assert settled.optimizer.epochs == (100 if dataset == "eurosat" else 20)


@pytest.fixture
def paper():
    """A function: a method's settings in the paper preset on a dataset."""
    params = Params(**YAML(typ="safe").load(compose(["preset=paper"], ROOT / "conf")))
    return lambda method, dataset: method_configs.of_params(params, method, dataset)


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
    assert (paper("prograd", dataset).ctx_init, paper("prograd", dataset).templates) == (words, template and [template])


def test_warmup_that_leaves_nothing_to_prune_is_told_of(settle):
    def caution(method: str, **prune):
        return resolution.config_warning(method, "pocket", settle(method, {"prune": prune}))

    assert caution("adapt", warmup=40) == (
        "nothing will be pruned, since prune.warmup: 40 leaves none of 40 epochs; training ends with 36 tokens, not "
        "with prune.target: 18"
    )
    assert caution("random_prune", warmup=40)
    assert [caution("adapt", warmup=39), caution("adapt", warmup=40, target=36), caution("post_hoc", warmup=40)] == [
        None, None, None,
    ]  # fmt: skip
    assert resolution.config_warning("coop", "pocket", settle("coop")) is None


def test_value_of_the_preset_is_taken(settle, paper):
    assert (paper("coop", "digits").n_ctx, settle("coop").n_ctx) == (16, None)


def test_value_that_the_user_sets_holds_in_every_preset(settle):
    assert settle("coop", {"optimizer": {"epochs": 3}}).optimizer.epochs == 3


def test_value_that_a_preset_lacks_is_refused():
    with pytest.raises(UserError, match=r"^params.yaml: method.coop.n_ctx: it has no value for preset pocket, got"):
        resolution.by_preset({"paper": 4}, "pocket", "params.yaml: method.coop.n_ctx")


def test_overrides_that_hold_are_told_of(paper):
    entry = {"overrides": [{"shots": [1], "optimizer": {"epochs": 3}, "n_ctx": 4}, {"datasets": ["dtd"], "n_ctx": 5}]}
    told = [resolution.overridden(entry, shots=shots, datasets="dtd", presets="paper") for shots in (1, 16)]
    assert told == [["optimizer.epochs", "n_ctx"], ["n_ctx"]]


def test_override_by_preset_is_told_of_by_its_key():
    entry = {"overrides": [{"shots": [1], "optimizer": {"epochs": {"paper": 3, "pocket": 4}}}]}
    assert resolution.overridden(entry, shots=1, datasets="dtd", presets="paper") == ["optimizer.epochs"]


def test_override_of_a_preset_misspelt_is_refused(settle):
    with pytest.raises(UserError, match=r"^params.yaml: method.coop.overrides\[0\]: expected a list of presets"):
        settle("coop", {"overrides": [{"presets": ["papr"], "n_ctx": 4}]})


def test_override_of_one_preset_leaves_the_others_values(settle):
    assert settle("coop", {"optimizer": {"epochs": 20}}, shots=1).optimizer.epochs == 20
