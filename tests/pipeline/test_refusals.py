"""The mistakes of refusals.yaml: each is refused with its sentence, word for word."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adapt.errors import UserError
from tests.refusals import REFUSE, ROOT

MISTAKES: dict[str, dict[str, Any]] = YAML(typ="safe").load(Path(__file__).parents[1] / "refusals.yaml")


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_refused_with_its_sentence(name, tmp_path, monkeypatch):
    mistake = dict(MISTAKES[name])
    says = mistake.pop("says")
    ((kind, given),) = mistake.items()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    with pytest.raises(UserError) as error:
        REFUSE[kind](tmp_path, given)
    assert str(error.value).replace(f"{tmp_path}/", "").replace(f"{ROOT}/", "") == says


def test_there_are_many():
    assert len(MISTAKES) >= 60
