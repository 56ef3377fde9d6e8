"""The pipeline as a user runs it: `dvc repro`.

It runs in a fresh copy, again, and after changes of params.
"""

import csv
import json
import subprocess
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.project import checkout, environment

SMALL = [
    "datasets=[digits]",
    "methods=[zero_shot,coop,uniform,adapt]",
    "method.coop.optimizer.epochs=2",
    "seeds=[1,2]",
    "shots=2",
    "optimizer.epochs=7",
    "prune.every=1",
    "prune.count=7",
    "prune.target=10",
]
METHODS = {"zero_shot": "0", "coop": "5", "uniform": "10", "adapt": "10"}  # and their tokens
ALWAYS = "inputs"  # looks at what lies outside the repository
RUN_FILES = {
    "prompts.safetensors",
    "classes.safetensors",
    "lengths.csv",
    "history.csv",
    "trace.csv",
    "cost.json",
    "metrics.json",
    "predictions.csv",
}


def call(folder: Path, *command: str) -> str:
    """What a command says that has to succeed."""
    return run(folder, *command, fails=False)


def run(folder: Path, *command: str, fails: bool, complaints: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + (done.stderr if complaints else "")


def fail(folder: Path, *command: str) -> str:
    """What a command says that has to fail."""
    return run(folder, *command, fails=True)


def stages_run(output: str) -> set[str]:
    """The stages that ran, but for the one that always does."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")} - {ALWAYS}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A fresh checkout of the tracked files, after one `dvc repro` of a small setting."""
    folder = checkout(tmp_path_factory.mktemp("project") / "adapt")
    call(folder, "python", "-m", "stages.compose", *SMALL)
    call(folder, "dvc", "repro")
    return folder


def test_run_folder_is_complete(project):
    for method in METHODS:
        for seed in (1, 2):
            assert {path.name for path in (project / f"runs/digits/{method}/seed_{seed}").iterdir()} == RUN_FILES


def test_accuracy_table_has_a_row_per_run(project):
    with (project / "reports/tables/accuracy.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["preset", "dataset", "method", "seed", "shots", "accuracy", "tokens"]
    assert {(row["method"], row["seed"], row["tokens"]) for row in rows} == {
        (method, seed, tokens) for method, tokens in METHODS.items() for seed in ("1", "2")
    }


def test_metrics_agree_with_predictions(project):
    folder = project / "runs/digits/adapt/seed_1"
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == len(rows) == 540
    assert metrics["accuracy"] == sum(row["label"] == row["prediction"] for row in rows) / len(rows)


def test_prompts_name_what_made_them(project):
    with safe_open(project / "runs/digits/adapt/seed_2/prompts.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["made_from"])
    assert (facts["preset"], facts["backbone"], facts["dataset"], facts["method"], facts["seed"]) == (
        "pocket", "pocket", "digits", "adapt", 2,
    )  # fmt: skip
    assert facts["config"]["prune"]["target"] == 10


def test_no_checkpoint_is_left(project):
    assert not [path for path in (project / ".scratch").rglob("*") if path.is_file()]


def test_what_is_told_on_the_way_holds_the_item_trained_last(project):
    seeds = sorted(path.relative_to(project).as_posix() for path in project.glob("live/*/*"))
    assert seeds == ["live/digits-adapt/seed_1", "live/digits-adapt/seed_2"]


def test_what_is_told_on_the_way_is_the_history(project):
    with (project / "data/tuned/digits/adapt/seed_2/history.csv").open(encoding="utf-8") as file:
        history = [(row["epoch"], row["loss"]) for row in csv.DictReader(file)]
    with (project / "live/digits-adapt/seed_2/plots/metrics/loss.tsv").open(encoding="utf-8") as file:
        told = [(row["step"], row["loss"]) for row in csv.DictReader(file, delimiter="\t")]
    assert told == history


def test_git_sees_nothing_of_what_is_told_on_the_way(project):
    assert call(project, "git", "status", "--porcelain", "--untracked-files=all", "live", "dvc.yaml") == ""


def test_plots_show_what_is_told_on_the_way(project):
    plots = json.loads(run(project, "dvc", "plots", "show", "--json", fails=False, complaints=False))
    names = {name for name in plots["data"] if name.startswith("live/")}
    assert names == {
        f"live/digits-adapt/seed_{n}/plots/metrics/{what}.tsv" for n in (1, 2) for what in ("loss", "tokens")
    }
    assert "errors" not in plots


def test_plots_of_a_commit_lack_nothing(project):
    assert "errors" not in json.loads(
        run(project, "dvc", "plots", "diff", "HEAD", "--json", fails=False, complaints=False)
    )


def test_experiments_have_no_column_of_what_is_told_on_the_way(project):
    assert "live/" not in run(project, "dvc", "exp", "show", "--csv", fails=False, complaints=False)


def test_switches_of_what_is_told_run_nothing_but_configure(project):
    call(project, "python", "-m", "stages.compose", *SMALL, "runtime.live=false", "runtime.live_accuracy=true")
    assert stages_run(call(project, "dvc", "repro")) == {"configure"}
    call(project, "python", "-m", "stages.compose", *SMALL)
    call(project, "dvc", "repro")


def test_second_repro_runs_nothing_but_the_look_outside(project):
    said = call(project, "dvc", "repro")
    assert stages_run(said) == set() and f"Running stage '{ALWAYS}'" in said


def test_changed_distillation_runs_only_what_distils_and_coming_back_runs_nothing(project):
    call(project, "python", "-m", "stages.compose", *SMALL, "distill.kind=l1")
    ran = stages_run(call(project, "dvc", "repro"))
    tuned = {f"{stage}@digits-{method}" for stage in ("train", "evaluate") for method in ("uniform", "adapt")}
    assert ran == {"configure", "report"} | tuned
    call(project, "python", "-m", "stages.compose", *SMALL)
    assert not {name for name in stages_run(call(project, "dvc", "repro")) if name.startswith("train")}


def test_changed_code_of_a_method_runs_that_method_alone(project):
    path = project / "adapt/methods/coop.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n\nUNUSED = None\n", encoding="utf-8")
    ran = stages_run(call(project, "dvc", "repro"))
    path.write_text(text, encoding="utf-8")
    assert ran - {"report"} == {"code", "configure", "train@digits-coop", "evaluate@digits-coop"}


def test_changed_comment_runs_nothing_but_the_look_at_the_code(project):
    call(project, "dvc", "repro")
    path = project / "adapt/training/trainer.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "# a comment\n", encoding="utf-8")
    ran = stages_run(call(project, "dvc", "repro"))
    path.write_text(text, encoding="utf-8")
    assert ran == {"code"}


def test_same_params_give_the_same_bytes(project):
    folder = project / "data/tuned/digits/adapt/seed_1"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "cost.json"}
    call(project, "dvc", "repro", "-f", "-s", "train@digits-adapt")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "cost.json"} == before


def test_accuracy_after_each_epoch_and_no_files_give_the_same_bytes(project):
    folder = project / "data/tuned/digits/adapt/seed_1"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "cost.json"}
    call(project, "python", "-m", "stages.compose", *SMALL, "runtime.live=false", "runtime.live_accuracy=true")
    call(project, "dvc", "repro", "-f", "-s", "train@digits-adapt")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "cost.json"} == before
    assert not (project / "live/digits-adapt").exists()
    call(project, "python", "-m", "stages.compose", *SMALL)


def test_changed_shots_run_everything_anew(project):
    call(project, "python", "-m", "stages.compose", *SMALL, "shots=1")
    ran = stages_run(call(project, "dvc", "repro"))
    assert {name.split("@")[0] for name in ran} == {"configure", "sample", "teacher", "train", "evaluate", "report"}


def test_budget_that_cannot_be_reached_is_told_of_by_configure_train_and_report(project):
    call(project, "python", "-m", "stages.compose", *SMALL, "prune.warmup=7")
    said = call(project, "dvc", "repro")
    told = "configure: adapt on digits: nothing will be pruned, since prune.warmup: 7 leaves none of 7 epochs"
    assert told in said
    assert "train digits adapt: not the budget, prune.target: 10, since prune.warmup leaves no step for pruning" in said
    warning = "ended with another number of tokens than asked for: adapt, dataset digits: 36 tokens for 10"
    assert warning in (project / "reports/tables/accuracy.md").read_text(encoding="utf-8").replace("Ended", "ended")


def test_misspelt_key_of_a_method_is_refused_before_any_work(project):
    path = project / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\n    n_ctx:", "\n    n_ctxx:", 1), encoding="utf-8")
    said = fail(project, "dvc", "repro")
    path.write_text(text, encoding="utf-8")
    assert "params.yaml: method.coop.n_ctxx: unknown key; did you mean 'n_ctx'?" in said
    assert stages_run(said) == {"configure"} and "Traceback" not in said
