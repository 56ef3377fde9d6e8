"""Params: what is refused, with which words, and that params.yaml is what conf/ composes."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt import params
from adapt.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def refused(tmp_path):
    """A function from changes `{"a.b": value}` to params.yaml to the message that refuses them."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    path = tmp_path / "params.yaml"

    def message(changes: dict, remove: str | None = None) -> str:
        for key, value in changes.items():
            *sections, last = key.split(".")
            place = values
            for section in sections:
                place = place[section]
            place[last] = value
        if remove:
            del values[remove]
        YAML().dump(values, path)
        with pytest.raises(UserError) as error:
            params.load(path)
        return str(error.value).removeprefix(f"{path}: ")

    return message


def test_committed_params_are_valid():
    assert params.load(ROOT / "params.yaml").preset == "pocket"


def test_params_yaml_is_the_composition_of_conf(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (ROOT / "params.yaml").read_text() == params.compose([])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"shots": 0}, "shots: expected greater than or equal to 1, got 0"),
        ({"shots": "many"}, "shots: expected integer, got 'many'"),
        ({"shots": 2.5}, "shots: expected integer, got 2.5"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [1, 1]}, "seeds: each entry may stand once, got [1, 1]"),
        ({"datasets": ["digts"]}, "datasets[0]: unknown dataset 'digts'; did you mean 'digits'?"),
        ({"methods": ["zero_shot", "adpt"]}, "methods[1]: unknown method 'adpt'; did you mean 'adapt'?"),
        ({"prune.criterion": "snap"}, "prune.criterion: expected 'snip', 'gate', 'gradient', 'magnitude' or 'random', "
         "got 'snap'; did you mean 'snip'?"),
        ({"distill.kind": "angle"}, "distill.kind: expected 'angular', 'l1', 'kl', 'pairwise' or 'none', got 'angle'; "
         "did you mean 'angular'?"),
        ({"distill.text": -1.0}, "distill.text: expected greater than or equal to 0, got -1.0"),
        ({"optimiser.lr": 0.0}, "optimiser.lr: expected greater than 0, got 0.0"),
        ({"optimiser.x": 0.1}, "optimiser.x: unknown key; known: "),
        ({"optimiser.epoch": 5}, "optimiser.epoch: unknown key; did you mean 'epochs'?"),
        ({"prune.target": -1}, "prune.target: expected greater than or equal to 0, got -1"),
        ({"prune.target": 25}, "prune.target: 25 tokens are more than the start, 24 = context.length 2 × 12 layers of "
         "pocket; lower prune.target or raise context.length"),
        ({"backbone.name": "ViT-B16"}, "backbone.name: unknown backbone 'ViT-B16'; did you mean 'ViT-B-16'?"),
        ({"views.scale": [0.9, 0.5]}, "views: scale goes from the smaller to the larger, got [0.9, 0.5]"),
        ({"views.scale": [0.5, 1.5]}, "views.scale[1]: expected less than or equal to 1, got 1.5"),
        ({"teacher.templates": ["a photo"]}, "a template has one {} for the class name, got 'a photo'"),
        ({"teacher.views": 0}, "teacher.views: expected greater than or equal to 1, got 0"),
        ({"evaluate.split": "train"}, "evaluate.split: expected 'val' or 'test', got 'train'"),
        ({"runtime.device": "gpu"}, "runtime.device: expected 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ({"preset": "pockets"}, "preset: expected 'pocket' or 'paper', got 'pockets'; did you mean 'pocket'?"),
        ({"typo": 1}, "typo: unknown key; "),
    ],
)  # fmt: skip
def test_wrong_value_is_refused(changes, expected, refused):
    assert expected in refused(changes)


def test_missing_section_is_named(refused):
    assert refused({}, remove="prune") == "prune: missing"


def test_all_problems_are_told_at_once(refused):
    assert len(refused({"shots": 0, "prune.every": 0}).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "has to be a mapping"),
        ("!!python/object/apply:os.getcwd []", "is not valid"),
    ],
)
def test_file_that_is_no_mapping_is_refused(text, expected, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=expected):
        params.load(path)


def test_missing_file_says_how_to_write_it(tmp_path):
    with pytest.raises(UserError, match="is missing; write it with `make params`"):
        params.load(tmp_path / "params.yaml")


def test_override_reaches_the_composition(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "shots: 8\n" in params.compose(["shots=8"])


def test_unknown_override_is_refused(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"conf/: .*shot"):
        params.compose(["shot=8"])


def test_unknown_preset_is_refused(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match="preset/pockt"):
        params.compose(["preset=pockt"])
