"""Studies: the runs of a grid, the gathered experiments, and their report."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adapt.config import PruneConfig
from adapt.errors import UserError
from adapt.pipeline import study
from adapt.report import studies, study_figures
from tests.fake_runs import edit_json, read, write_study

ROOT = Path(__file__).parents[2]
SHOWN = json.loads(
    (ROOT / "tests/goldens/exp_show.json").read_text(encoding="utf-8")
)  # of `dvc exp show --json`, shortened
ACCURACY = """preset,dataset,method,seed,shots,accuracy,tokens
pocket,digits,uniform,1,1,0.68,18
pocket,digits,adapt,1,1,,
"""
COST = """dataset,method,seed,trainable,tokens,steps,seconds,step_ms,memory_mb,budget
digits,uniform,1,2304.0,18,2,0.106,53.0,612.5,18
digits,adapt,1,,,,,,,
"""
NAMES = list(study.load(ROOT / "conf/studies.yaml"))


def known(name: str) -> bool:
    """Whether params have what the study changes: prune.data may be missing."""
    return name != "bilevel" or "data" in PruneConfig.model_fields


# what is run


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["pocket", "paper"])
def test_every_experiment_of_a_study_has_valid_params(name: str, preset: str):
    if not known(name):
        with pytest.raises(UserError, match=r"prune\.data"):
            study.plan(name, [f"preset={preset}"])
        return
    planned = study.plan(name, [f"preset={preset}"])
    assert len({experiment["name"] for experiment in planned}) == len(planned)
    assert len(planned) > 1 or name == "methods"
    assert study.check(planned[0]["overrides"]).preset == preset


def test_grid_is_the_product_of_its_values():
    declared = study.Study(title="t", methods=["adapt"], grid={"a": {"pocket": [1, 2], "paper": [3]}, "b": ["x", "y"]})
    assert [tuple(point.values()) for point in declared.points("pocket")] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert declared.points("paper") == [{"a": 3, "b": "x"}, {"a": 3, "b": "y"}]


def test_the_presets_own_budget_and_the_whole_start_are_in_the_budget_study():
    for preset in ("pocket", "paper"):
        settled = study.check([f"preset={preset}"])
        values = [point["prune.target"] for point in study.load(ROOT / "conf/studies.yaml")["budget"].points(preset)]
        layers = {"pocket": 12, "paper": 24}[preset]
        assert settled.prune.target in values and max(values) == settled.prompts.initial_length * layers
        assert settled.prune.target // 2 in values


def test_names_tell_experiments_of_other_params_apart():
    names = {tuple(e["name"] for e in study.plan("shots", more)) for more in ([], ["seeds=[1]"], ["preset=paper"])}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("name", "more", "told"),
    [
        ("shot", [], "conf/studies.yaml has no study 'shot'; did you mean 'shots'?"),
        ("shots", ["datasets=[digit]"], "unknown dataset 'digit'; did you mean 'digits'?"),
        ("shots", ["nonsense=1"], "nonsense"),
        ("budget", ["prompts.initial_length=1"], "prune.target: 18 tokens exceed the initial 12"),
    ],
)
def test_a_wrong_study_is_refused_before_anything_runs(name: str, more: list[str], told: str):
    with pytest.raises(UserError) as caught:
        study.plan(name, more)
    assert told in str(caught.value)


def test_command_of_an_experiment_can_be_run_by_hand():
    (first, *_) = study.plan("distill", ["seeds=[1]"])
    command = study.new_entry(first)["command"]
    assert command.startswith(f"dvc exp run --temp -n {first['name']} -S 'seeds=[1]' -S 'methods=[uniform,adapt]' -S ")
    assert command.endswith("distill.kind=none")


def test_study_without_git_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="study bilevel: DVC's experiments need git and a commit here; install git"):
        next(study.run("bilevel", []))


def test_commit_is_that_of_the_working_tree(monkeypatch):
    monkeypatch.chdir(ROOT)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", check=True).stdout
    assert study.commit().removesuffix("-dirty") == head.strip()


def test_commit_is_empty_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert study.commit() == ""


def test_commit_is_empty_outside_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert study.commit() == ""


# what is gathered


def test_finished_experiments_are_found_by_name():
    found = study.finished_experiments(SHOWN)
    assert set(found) == {"shots-1-f1e240", "shots-2-011760"}
    assert found["shots-1-f1e240"] == {
        "rev": "cff1a5368f1fa496e090bdfdbf300afa81fbbd7f",
        "preset": "pocket", "backbone": "pocket", "weights": "c0b0c262fe", "split": "test",
    }  # fmt: skip


def test_an_experiment_without_a_report_is_not_finished():
    shown: list[Any] = json.loads(json.dumps(SHOWN))
    shown[1]["experiments"][0]["revs"][0]["data"]["metrics"] = {}
    shown[1]["experiments"].append({"revs": [{"rev": "b" * 40, "name": "broken", "data": None, "error": {}}]})
    assert len(study.finished_experiments(shown)) == 1
    assert study.finished_experiments([{"rev": "workspace", "experiments": None}]) == {}


def test_rows_hold_the_point_of_the_grid_and_every_run():
    table = study.rows({"name": "shots-1", "point": {"shots": 1}}, {"accuracy": ACCURACY, "cost": COST})
    costs = ["trainable", "seconds", "step_ms", "memory_mb", "budget"]
    assert list(table) == ["experiment", "shots", "dataset", "method", "seed", "accuracy", "tokens", *costs]
    assert table.iloc[0].tolist() == ["shots-1", 1, "digits", "uniform", 1, 0.68, 18, 2304.0, 0.106, 53.0, 612.5, 18]
    assert table.iloc[1][["accuracy", "step_ms"]].isna().all()


def test_wall_times_are_kept_only_of_the_same_commit(tmp_path: Path):
    path = tmp_path / "shots.json"
    path.write_text(json.dumps({"commit": "a", "experiments": [{"name": "one", "seconds": 3.0}]}), encoding="utf-8")
    assert study.previous_record(path, "a") == {"one": {"name": "one", "seconds": 3.0}}
    assert study.previous_record(path, "b") == study.previous_record(tmp_path / "none.json", "a") == {}


# what the report makes of it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("studies")
    read(made / "runs")
    for name in NAMES:
        write_study(made / "studies", name)
    return made


def test_curve_is_the_mean_over_seeds_of_the_means_over_datasets(folder: Path, tmp_path: Path):
    gathered = studies.read(read(tmp_path), folder / "studies")[0]["shots"]
    row = studies.curve(gathered).query("method == 'adapt' and x == 4").iloc[0]
    runs = gathered.runs.query("method == 'adapt' and shots == 4")
    by_seed = runs.groupby("seed")["accuracy"].mean()
    assert row["accuracy"] == pytest.approx(by_seed.mean())
    assert row["std"] == pytest.approx(by_seed.std())
    assert row["step_ms"] == pytest.approx(runs["step_ms"].mean())


def test_a_missing_run_empties_its_point_alone(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "studies", tmp_path / "studies")
    table = pd.read_csv(tmp_path / "studies/shots.csv")
    table.loc[table.query("method == 'adapt' and shots == 4").index[0], "accuracy"] = None
    table.to_csv(tmp_path / "studies/shots.csv", index=False)
    gathered = studies.read(read(tmp_path / "runs"), tmp_path / "studies")[0]["shots"]
    shown = {row[0].text: [cell.text for cell in row[1:]] for row in studies.show(gathered).rows}
    assert [bool(text) for text in shown["adapt"]] == [True, True, False, True, True]
    assert all(shown["uniform"])


def test_a_failed_experiment_empties_its_column(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "studies", tmp_path / "studies")
    record = json.loads((tmp_path / "studies/shots.json").read_text(encoding="utf-8"))
    record["experiments"][0]["state"] = "failed"
    edit_json(tmp_path / "studies/shots.json", experiments=record["experiments"])
    table = pd.read_csv(tmp_path / "studies/shots.csv")
    table[table["shots"] != 1].to_csv(tmp_path / "studies/shots.csv", index=False)
    gathered = studies.read(read(tmp_path / "runs"), tmp_path / "studies")[0]["shots"]
    assert "1 of 5 experiments are missing" in gathered.warnings
    assert studies.show(gathered).head == ["method", "2", "4", "8", "16"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seeds": [1, 2]}, "other seeds"),
        ({"datasets": ["digits"]}, "other datasets"),
        ({"preset": "paper"}, "other preset"),
        ({"split": "val"}, "other split"),
    ],
)
def test_a_study_made_otherwise_does_not_stand_beside_the_runs(
    folder: Path, tmp_path: Path, changed: dict[str, Any], told: str
):
    found, absent = studies.read(read(tmp_path, **changed), folder / "studies")
    assert not found
    assert told in absent["shots"] and "`make study-shots`" in absent["shots"]


def test_differences_are_paired_run_by_run(folder: Path, tmp_path: Path):
    gathered = studies.read(read(tmp_path), folder / "studies")[0]["distill"]
    found = studies.differences(gathered, "angular", "none")
    runs = gathered.runs.query("method == 'adapt'").set_index(["dataset", "seed", "distill.kind"])["accuracy"]
    for (dataset, seed), value in found.items():
        assert value == pytest.approx(runs[dataset, seed, "angular"] - runs[dataset, seed, "none"])
    assert len(found) == 6
    assert studies.differences(gathered, "angular", "cosine").empty


def test_pruning_is_shown_where_both_budgets_are_there(folder: Path, tmp_path: Path):
    found = studies.read(read(tmp_path), folder / "studies")[0]
    table = study_figures.pruned_and_whole(found["budget"])
    assert table["x"].tolist() == ["with pruning, 18 tokens", "without, 36 tokens"]
    assert "pruning" in study_figures.by_name(found)
    assert "pruning" not in study_figures.by_name({"shots": found["shots"]})


def test_points_that_missed_their_budget_are_marked_in_table_and_curve(folder: Path, tmp_path: Path):
    table = write_study(tmp_path / "studies", "shots")
    table.loc[table["shots"].eq(1) & table["method"].eq("adapt"), "tokens"] = 20
    table.to_csv(tmp_path / "studies/shots.csv", index=False)
    found = studies.read(read(tmp_path / "runs"), tmp_path / "studies")[0]["shots"]
    assert (
        found.warnings[-1] == "† ended with another number of tokens than asked for: adapt, shots 1: 20 tokens for 18"
    )
    marked = {(row.method, row.x) for row in studies.curve(found).itertuples() if row.missed}
    assert marked == {("adapt", 1)}
    rows = {cells[0].text: [cell.text for cell in cells[1:]] for cells in studies.show(found).rows}
    assert [text.endswith("†") for text in rows["adapt"]] == [True, False, False, False, False]
    assert not any(text.endswith("†") for text in rows["uniform"])


def test_study_of_old_without_budgets_has_nothing_to_mark(folder: Path, tmp_path: Path):
    write_study(tmp_path / "studies", "shots").drop(columns="budget").to_csv(
        tmp_path / "studies/shots.csv", index=False
    )
    found = studies.read(read(tmp_path / "runs"), tmp_path / "studies")[0]["shots"]
    assert not studies.curve(found)["missed"].any()


# what fails


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that runs a study of which DVC finishes no or only some experiments.

    It returns the error, and the files before and after.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("conf", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_study(Path("reports/studies"), "bilevel")
    before = {path.name: path.read_bytes() for path in study.FOLDER.iterdir()}
    monkeypatch.setattr(study, "commit", lambda: "d" * 40)
    monkeypatch.setattr(study.subprocess, "run", lambda *_, **__: None)

    def run(finish: int) -> tuple[str, dict[str, bytes], dict[str, bytes]]:
        names = [experiment["name"] for experiment in study.plan("bilevel", [])][:finish]
        facts = {"preset": "pocket", "backbone": "pocket", "weights": "0", "split": "test"}
        data = {"metrics": {"reports/metrics.json": {"data": facts}}}
        shown = [{"experiments": [{"revs": [{"name": name, "rev": "e" * 40, "data": data}]} for name in names]}]
        monkeypatch.setattr(study, "experiments", lambda: shown)
        monkeypatch.setattr(study, "output", lambda *command: COST if "cost" in command[-1] else ACCURACY)
        with pytest.raises(UserError) as error:
            list(study.run("bilevel", []))
        return str(error.value), before, {path.name: path.read_bytes() for path in study.FOLDER.iterdir()}

    return run


def test_study_all_of_which_failed_says_so_and_leaves_what_is_there(failing):
    told, before, after = failing(0)
    assert told.startswith(
        "study bilevel: 2 of 2 experiments failed, nothing is gathered; see the errors above; run one by hand: dvc"
    )
    assert after == before


def test_study_of_which_some_failed_keeps_the_others_and_says_so(failing):
    told, before, after = failing(1)
    assert told.startswith("study bilevel: 1 of 2 experiments failed, reports/studies/bilevel.csv has the others; ")
    assert after != before and json.loads(after["bilevel.json"])["experiments"][1]["state"] == "failed"
