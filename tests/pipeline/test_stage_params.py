"""Which params decide what a stage makes, and that it runs with no others."""

from pathlib import Path

import pytest

from adapt.errors import UserError
from adapt.pipeline import params, stage, stage_params
from adapt.runtime import formats
from adapt.settings.composition import compose
from tests.project import ROOT


def settings(*changes: str) -> params.Params:
    return params.parse(compose(list(changes), ROOT / "conf"), Path("params.yaml"))


def differ(*changes: str) -> set[str]:
    """The stages whose params these changes touch."""
    before, after = settings(), settings(*changes)
    of = stage_params.of_stage
    return {name for name in stage_params.KEYS if of(name, before) != of(name, after)}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("shots=8", {"sample", "evaluate", "report"}),
        ("seeds=[1]", {"sample", "teacher", "train", "evaluate", "report"}),
        ("datasets=[digits]", {"inputs", "report"}),
        ("methods=[zero_shot,adapt]", {"report"}),
        ("method.coop.n_ctx=2", set()),  # data/configs/ tells
        ("optimizer.epochs=1", set()),
        ("teacher.views=1", {"teacher"}),
        ("evaluate.batch_size=8", {"evaluate"}),
        ("backbone.pretrained=other.safetensors", {"inputs", "teacher", "train", "evaluate"}),
        ("runtime.precision=bfloat16", {"teacher", "train", "evaluate"}),
        ("runtime.parallel_seeds=1", set()),
        ("pretrain.steps=1", {"pretrain"}),
    ],
)
def test_a_change_touches_the_stages_that_read_it(change, stages):
    assert differ(change) == stages


def test_values_stand_by_their_keys():
    found = stage_params.of_stage("report", settings("shots=8"))
    assert found["shots"] == 8 and found["evaluate.split"] == "test" and found["backbone.name"] == "pocket"


@pytest.fixture
def configured(tmp_path, monkeypatch) -> Path:
    """A folder where `configure` has left the params of `sample`, which DVC starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "sample@digits")
    formats.write_json(stage_params.ROOT / "sample.json", stage_params.of_stage("sample", settings()))
    return tmp_path


def bind(*changes: str) -> dict:
    def main(dataset: str, shots: int) -> None: ...

    Path("params.yaml").write_text(compose(list(changes), ROOT / "conf"), encoding="utf-8")
    return stage.bind_arguments(main, ["dataset=digits"])


def test_params_that_configure_has_seen_are_taken(configured):
    assert bind("runtime.parallel_seeds=1", "teacher.views=1")["shots"] == 16  # `sample` depends on neither


def test_params_that_have_changed_since_are_refused(configured):
    with pytest.raises(UserError, match=r"params.yaml has changed since `configure` read it"):
        bind("shots=8")


def test_without_dvc_they_are_taken(configured, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    assert bind("shots=8")["shots"] == 8


def test_missing_params_are_told_of(configured):
    (stage_params.ROOT / "sample.json").unlink()
    with pytest.raises(UserError, match=r"data/params/sample.json is missing; make it with `dvc repro configure`"):
        bind()
