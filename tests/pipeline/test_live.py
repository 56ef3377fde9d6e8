"""The output of `train` while it runs: DVCLive's files, and no other effect of it."""

import csv
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapt import methods
from adapt.pipeline import live, params, stage
from adapt.runtime import locks, workers
from adapt.runtime.progress import Bar
from adapt.training.predict import accuracy_under_way
from tests.project import ROOT

PLACE = live.folder("digits", "adapt", 1)
ROWS = [{"epoch": n, "lr": 0.1, "loss": 1 / (n + 1), "cross_entropy": 0.5, "tokens": 36 - n} for n in range(4)]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Without a repository: DVCLive is to need none and to make none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STUDIO_OFFLINE", "")  # set back after the test, since a writer sets it


def read(name: str, place: Path = PLACE) -> list[tuple[int, float]]:
    """The epochs and values of a metric."""
    with (place / f"plots/metrics/{name}.tsv").open(newline="", encoding="utf-8") as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file, delimiter="\t")]


def write(*rows, place: Path = PLACE) -> None:
    report = live.writer(place)
    for row in rows:
        report(row)


def files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_epochs_are_numbered_as_in_the_history():
    write(*ROWS)
    assert read("tokens") == [(n, 36 - n) for n in range(4)]


def test_loss_and_tokens_have_a_file_each_and_nothing_else_is_written():
    write(*ROWS)
    metrics = "live/digits-adapt/seed_1/plots/metrics"
    assert files() == {f"{metrics}/loss.tsv", f"{metrics}/tokens.tsv"}


def test_accuracy_is_written_where_it_was_measured():
    write(*(row | {"accuracy": 0.5} for row in ROWS))
    assert read("accuracy") == [(n, 0.5) for n in range(4)]


def test_run_that_begins_anew_leaves_no_line_of_the_run_before():
    write(*(row | {"accuracy": 0.5} for row in ROWS))
    write(*ROWS[:2])
    assert [step for step, _ in read("loss")] == [0, 1] and len(files()) == 2


def test_each_line_is_there_as_soon_as_its_epoch_is_over():
    report = live.writer(PLACE)
    for row in ROWS:
        report(row)
        assert read("loss")[-1] == (row["epoch"], row["loss"])


def test_seeds_in_forked_processes_write_beside_each_other():
    def work(seed: int) -> None:
        write(*ROWS[: seed + 1], place=live.folder("digits", "adapt", seed))

    list(workers.run(work, [1, 2, 3], processes=3, setting="here"))
    assert [len(read("loss", live.folder("digits", "adapt", seed))) for seed in (1, 2, 3)] == [2, 3, 4]


def test_writing_starts_no_thread():
    before = threading.active_count()
    write(*ROWS)
    assert threading.active_count() == before


def test_no_repository_is_looked_for(monkeypatch):
    import dvclive.live

    monkeypatch.setattr(dvclive.live, "get_dvc_repo", lambda: pytest.fail("it looks for one"))
    write(*ROWS)


def test_nothing_is_sent_to_studio_even_with_a_token(monkeypatch):
    import dvclive.studio

    monkeypatch.setenv("DVC_STUDIO_TOKEN", "secret")
    monkeypatch.setattr(dvclive.studio, "post_live_metrics", lambda *given, **named: pytest.fail("it sends"))
    write(*ROWS)


def test_full_disk_is_told_once_and_ends_no_training(monkeypatch, capsys):
    import dvclive.live

    def full(*given, **named) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dvclive.live.Live, "log_metric", full)
    write(*ROWS)
    assert capsys.readouterr().out == ("nothing more is written to live/digits-adapt/seed_1: No space left on device\n")


def test_without_dvclive_it_says_so_and_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(live, "find_spec", lambda name: None)
    write(*ROWS)
    assert files() == set()
    assert capsys.readouterr().out == (
        "nothing is written to live/, since DVCLive is not installed; `make setup` installs it\n"
    )


def test_what_an_item_left_goes_when_it_is_trained_again():
    write(*ROWS)
    live.clear("digits", "adapt")
    assert files() == set()


def test_what_another_item_left_goes_too():
    write(*ROWS)
    live.clear("digits", "coop")
    assert files() == set()


def test_item_that_is_trained_beside_it_stays():
    write(*ROWS)
    with locks.exclusive(stage.lock("train@digits-adapt"), "train"):
        live.clear("digits", "coop")
        assert len(read("loss")) == 4


def test_folder_that_git_keeps_stays():
    live.ROOT.mkdir()
    (live.ROOT / ".gitignore").touch()
    live.clear("digits", "coop")
    assert files() == {"live/.gitignore"}


def settings(**changes):
    return params.load(ROOT / "params.yaml").runtime.model_copy(update=changes)


def test_bar_is_told_of_each_epoch_where_nothing_is_written():
    bar = Bar("digits adapt seed 1", 0, "epoch")
    report = live.reporter(settings(live=False), bar, PLACE)
    report(ROWS[1])
    assert bar.told == "loss 0.5000, 35 tokens" and files() == set()


def test_accuracy_is_not_taken_unless_asked_for(batches):
    assert live.measure(settings(live_accuracy=False), batches) is None


def test_accuracy_is_that_on_the_val_images(task, batches):
    take = live.measure(settings(live_accuracy=True), batches)
    method = methods.build("zero_shot", task, {"text": "template"})
    assert take is not None and take(method) == {"accuracy": accuracy_under_way(method, batches)}


def test_bar_shows_loss_and_tokens(capsys):
    bar = Bar("digits adapt seed 1", 0, "epoch")
    for _ in bar(range(2), file=sys.stderr, mininterval=0):
        bar.tell("loss 0.5000, 30 tokens")
    assert "loss 0.5000, 30 tokens" in capsys.readouterr().err


def test_stage_does_not_import_dvclive_when_it_starts():
    code = "import sys, stages.train; sys.exit('dvclive' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_importing_dvclive_leaves_one_thread():
    """Also of the system's: the seeds of a stage that starts warm are forked after it."""
    code = "import os, sys, dvclive; sys.exit(len(os.listdir('/proc/self/task')) - 1)"
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc to count threads in")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment).returncode == 0
