"""Params: params.yaml is valid and equals the composition of conf/.

Mistakes in params are in refusals.yaml.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt.errors import UserError
from adapt.pipeline import params
from adapt.settings.composition import compose

ROOT = Path(__file__).parents[1]


def test_committed_params_are_valid():
    assert params.load(ROOT / "params.yaml").preset == "pocket"


def test_params_yaml_is_the_composition_of_conf(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == compose([])


def test_all_problems_are_told_at_once(tmp_path):
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    values["shots"], values["prune"]["every"] = 0, 0
    YAML().dump(values, tmp_path / "params.yaml")
    with pytest.raises(UserError) as error:
        params.load(tmp_path / "params.yaml")
    assert len(str(error.value).splitlines()) == 2


def test_override_reaches_the_composition(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "shots: 8\n" in compose(["shots=8"])
