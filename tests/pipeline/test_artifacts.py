"""Models and splits from a second repository, as docs/artifacts.md has it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt import methods
from adapt.training import run_folder
from tests.pipeline.test_pipeline import SMALL, call, fail
from tests.project import ROOT, checkout

ARTIFACTS = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]
PATHS = {
    "pocket CLIP": "models/pocket.safetensors",
    "splits": "data/fewshot/digits",
    "tuned model": "runs/digits/adapt",
}
TINY = [*SMALL, "seeds=[1]", "shots=1"]
AUTHOR = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of all files of a folder by their names."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """A repository with a tuned model and a complete remote.

    Two of its artifacts have versions.
    """
    folder = checkout(tmp_path_factory.mktemp("lab") / "adapt")
    call(folder, "python", "-m", "stages.compose", *TINY)
    call(folder, "dvc", "repro", "evaluate@digits-adapt")
    call(folder, "dvc", "remote", "add", "-d", "shared", str(folder.parent / "remote"))
    call(folder, "dvc", "push")
    call(folder, "git", *AUTHOR, "commit", "-qam", "one model")
    call(folder, "gto", "register", "pocket", "--version", "v1.0.0")
    call(folder, "git", *AUTHOR, "tag", "-a", "digits-adapt@v0.1.0", "-m", "first")
    call(folder, "git", "tag", "fontawesome-adapt@v0.1.0")  # light, without -a
    shutil.rmtree(folder / ".dvc/cache")  # what others get is to come from the remote
    return folder


@pytest.fixture
def second(tmp_path) -> Path:
    """Another repository, empty."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    call(tmp_path, "dvc", "init", "-q")
    return tmp_path


@pytest.mark.parametrize("name", ["pocket", "digits-adapt"])
def test_artifact_with_a_version_is_got_by_its_name(name: str, lab, second):
    call(second, "dvc", "artifacts", "get", str(lab), name, "-o", "got")
    assert contents(second / "got") == contents(lab / ARTIFACTS[name]["path"]) != {}


def test_artifact_is_got_in_the_version_that_is_asked_for(lab, second):
    call(second, "dvc", "artifacts", "get", str(lab), "digits-adapt", "--rev", "v0.1.0", "-o", "got")
    assert (second / "got/seed_1" / run_folder.PROMPTS).is_file()


def test_version_that_was_not_set_is_not_found(lab, second):
    said = fail(second, "dvc", "artifacts", "get", str(lab), "digits-adapt", "--rev", "v9.0.0")
    assert "Unable to find" in said


def test_light_tag_is_no_version(lab, second):
    said = fail(second, "dvc", "artifacts", "get", str(lab), "fontawesome-adapt")
    assert "Unable to find artifact 'fontawesome-adapt'" in said


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_path_is_got_without_a_version(path: str, lab, second):
    call(second, "dvc", "get", str(lab), path, "-o", "got")
    assert contents(second / "got") == contents(lab / path) != {}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_path_is_imported_and_its_source_noted(path: str, lab, second):
    call(second, "dvc", "import", str(lab), path, "-o", "got")
    assert contents(second / "got") == contents(lab / path) != {}
    (source,) = YAML(typ="safe").load(second / "got.dvc")["deps"]
    commit = call(lab, "git", "rev-parse", "HEAD").strip()
    assert (source["path"], source["repo"]) == (path, {"url": str(lab), "rev_lock": commit})


def test_tuned_model_from_elsewhere_says_what_it_is_made_from(lab, second):
    call(second, "dvc", "get", str(lab), "runs/digits/adapt", "-o", "got")
    _, made_from, _ = run_folder.read(second / "got/seed_1", "dvc get")
    assert (made_from["method"], made_from["dataset"], made_from["seed"]) == ("adapt", "digits", 1)


@pytest.mark.parametrize("name", [name for name in ARTIFACTS if name != "pocket"])
def test_tuned_artifact_is_a_run_of_the_pocket(name: str):
    """Else its path is the output of no stage."""
    dataset, _, method = name.partition("-")
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    assert ARTIFACTS[name]["path"] == f"runs/{dataset}/{method}"
    assert dataset in params["datasets"] and method in params["methods"] and method in methods.names()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_artifact_says_what_it_is(name: str):
    assert ARTIFACTS[name].keys() == {"path", "type", "desc", "labels"} and ARTIFACTS[name]["type"] == "model"
