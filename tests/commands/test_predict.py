"""`adapt predict`: a model's predictions, printed for readers and for programs."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import adapt
from tests.project import ROOT


@pytest.fixture
def run_folder(model, tmp_path) -> Path:
    model.save(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def pictures(data, tmp_path) -> list[Path]:
    """Forty digits, more than a batch."""
    found = []
    for number in range(40):
        found.append(tmp_path / "new" / f"{number:02d}.png")
        found[-1].parent.mkdir(exist_ok=True)
        data.test.image(number).save(found[-1])
    return found


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_classes_are_the_librarys_in_the_order_of_the_images(run_folder, pictures, model, adapt_command, capsys):
    shuffled = pictures[::-1]
    adapt_command("predict", run_folder, *shuffled)
    found = [(row["path"], row["class"]) for row in rows(capsys.readouterr().out)]
    assert found == list(zip(map(str, shuffled), model.predict(shuffled), strict=True))


def test_most_likely_classes_come_first_with_their_probabilities(run_folder, pictures, model, adapt_command, capsys):
    adapt_command("predict", run_folder, pictures[0], "--top", "3")
    values, labels = model.predict_proba(pictures[:1])[0].topk(3)
    expected = [
        {"path": str(pictures[0]), "rank": str(rank), "class": model.classes[label], "probability": f"{value:.6g}"}
        for rank, (value, label) in enumerate(zip(values.tolist(), labels.tolist(), strict=True), 1)
    ]
    assert rows(capsys.readouterr().out) == expected


def test_more_classes_than_there_are_is_all(run_folder, pictures, adapt_command, capsys):
    adapt_command("predict", run_folder, pictures[0], "--top", "99")
    assert len(rows(capsys.readouterr().out)) == 10


def test_json_has_an_object_for_each_image(run_folder, pictures, model, adapt_command, capsys):
    adapt_command("predict", run_folder, *pictures[:2], "--format", "jsonl")
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(item["path"], item["classes"][0]["class"]) for item in found] == [
        (str(path), guess) for path, guess in zip(pictures[:2], model.predict(pictures[:2]), strict=True)
    ]


def test_table_has_a_line_for_each_image(run_folder, pictures, model, adapt_command, capsys):
    adapt_command("predict", run_folder, *pictures[:2], "--format", "table")
    shares = model.predict_proba(pictures[:2]).max(dim=1).values.tolist()
    guesses = model.predict(pictures[:2])
    assert capsys.readouterr().out.splitlines() == [
        f"{path}  {guess} {100 * share:.1f} %" for path, guess, share in zip(pictures[:2], guesses, shares, strict=True)
    ]


def test_image_that_cannot_be_read_is_named_and_the_rest_goes_on(run_folder, pictures, adapt_command, capsys):
    pictures[1].write_bytes(b"no image")
    with pytest.raises(adapt.UserError, match="1 of 3 images could not be read"):
        adapt_command("predict", run_folder, *pictures[:3])
    said = capsys.readouterr()
    assert [row["path"] for row in rows(said.out)] == [str(pictures[0]), str(pictures[2])]
    assert said.err.startswith(f"error: image {pictures[1]} cannot be read")


def test_folder_stands_for_its_images_and_says_what_it_passes_over(run_folder, pictures, adapt_command, capsys):
    folder = pictures[0].parent
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"skipped in .*new: 1 files that are not images: .*notes.txt"):
        adapt_command("predict", run_folder, folder)
    assert [row["path"] for row in rows(capsys.readouterr().out)] == list(map(str, pictures))


def test_pattern_stands_for_the_files_that_fit(run_folder, pictures, adapt_command, capsys):
    adapt_command("predict", run_folder, pictures[0].parent / "1?.png")
    assert [Path(row["path"]).name for row in rows(capsys.readouterr().out)] == [f"1{i}.png" for i in range(10)]


def test_paths_come_from_standard_input(run_folder, pictures, adapt_command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{path}\n" for path in pictures)))
    adapt_command("predict", run_folder)
    assert [row["path"] for row in rows(capsys.readouterr().out)] == list(map(str, pictures))


def test_first_answers_come_before_the_last_paths_are_there(run_folder, pictures):
    """A program that watches a camera waits for each answer: no batch is filled first."""
    command = [sys.executable, "-m", "adapt", "predict", str(run_folder), "--batch-size", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        assert running.stdin and running.stdout
        for path in pictures[: 2 + (os.cpu_count() or 1)]:
            running.stdin.write(f"{path}\n")
        assert running.stdout.readline() == "path,rank,class,probability\n"
        assert running.stdout.readline().startswith(f"{pictures[0]},1,")
        running.stdin.close()


NOTHING = {
    "nothing/*.png": "IMAGE: no file matches nothing/\\*.png",
    "empty": "IMAGE: there are no images in empty",
}


@pytest.mark.parametrize("name", NOTHING)
def test_name_that_stands_for_no_image_is_refused(name, run_folder, tmp_path, adapt_command, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(adapt.UserError, match=NOTHING[name]):
        adapt_command("predict", run_folder, name)


def test_empty_standard_input_is_told(run_folder, adapt_command, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(adapt.UserError, match="IMAGE: there are none: standard input is empty"):
        adapt_command("predict", run_folder)


@pytest.mark.parametrize("option", ["--top", "--batch-size"])
def test_number_below_one_is_refused(option, run_folder, pictures, adapt_command):
    with pytest.raises(adapt.UserError, match=f"{option}: expected a whole number from 1 on, got 0"):
        adapt_command("predict", run_folder, pictures[0], option, "0")


def test_folder_that_holds_no_model_is_named(pictures, tmp_path, adapt_command):
    with pytest.raises(adapt.UserError, match="prompts.safetensors is missing"):
        adapt_command("predict", pictures[0].parent, pictures[0])
