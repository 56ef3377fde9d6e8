"""The paper preset: its whole matrix, and one run of it end to end.

That run has a random ViT-B/16 and a miniature dataset.
"""

import csv
import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import open_clip
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from adapt.data.specs import dataset_specs
from benchmarks.paper import Cost, hours, preset
from tests import miniature
from tests.pipeline.test_pipeline import ALWAYS, call, stages_run
from tests.project import ROOT, checkout, environment

SMALL = [
    "datasets=[eurosat]",
    "methods=[zero_shot,adapt]",
    "seeds=[1]",
    "shots=1",
    "teacher.views=2",
    "teacher.templates=simple",
    "optimizer.epochs=2",
    "prune.warmup=1",
    "prune.every=1",
    "prune.count=64",
]
LIMIT = 6e9  # bytes of memory of any process
MEASURE = """
import resource, subprocess, sys
from adapt.runtime import platforms
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(platforms.peak_memory(resource.RUSAGE_CHILDREN))
"""  # in a process of its own, whose children are those of the command alone


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A checkout with the paper preset, and nothing run."""
    folder = checkout(tmp_path_factory.mktemp("paper") / "adapt")
    call(folder, "python", "-m", "stages.compose", "preset=paper")
    return folder


def matrix(folder: Path) -> set[str]:
    """The names of all stages that the params of a checkout ask for."""
    params = YAML(typ="safe").load(folder / "params.yaml")
    datasets, methods = params["datasets"], params["methods"]
    assert (len(datasets), len(methods)) == (11, 18)
    per_dataset = {f"{stage}@{dataset}" for stage in ("sample", "pack", "teacher") for dataset in datasets}
    pairs = {f"{stage}@{d}-{m}" for stage in ("train", "evaluate") for d in datasets for m in methods}
    return {"code", "configure", ALWAYS, "report"} | per_dataset | pairs


def test_pipeline_has_every_dataset_and_method(bare):
    assert set(call(bare, "dvc", "stage", "list", "--name-only").split()) == matrix(bare) | {"pretrain"}


@pytest.mark.slow
def test_dry_run_lists_every_dataset_and_method(bare):
    """DVC plans no further than what is there, so every output stands there, empty."""
    for stage in ("code", "configure", ALWAYS):
        call(bare, "python", "-m", f"stages.{stage}")
    for name in matrix(bare) - {"code", "configure", ALWAYS, "report"}:
        stage, _, item = name.partition("@")
        where = {"sample": "data/fewshot", "pack": "data/pack", "teacher": "data/teacher", "train": "data/tuned"}
        folder = bare / where.get(stage, "runs") / item.replace("-", "/")
        folder.mkdir(parents=True)
        (folder / "test.csv").touch()
    assert stages_run(call(bare, "dvc", "repro", "--dry")) == matrix(bare) - {ALWAYS}


def test_hours_are_steps_and_images_at_what_they_cost(monkeypatch):
    """A second a step and a tenth of one an image, for any number of classes.

    The hours are then sums of the catalogue's counts.
    """
    monkeypatch.chdir(ROOT)
    costs = [Cost(classes, step=1.0, rate=10.0, memory=0) for classes in (10, 1000)]
    classes = sum(entry.classes for name, entry in dataset_specs().items() if name in preset().datasets)
    images = sum(entry.sizes.test for name, entry in dataset_specs().items() if name in preset().datasets)
    steps = 40 * 16 // 4 * classes  # 40 epochs of 16 shots in batches of 4
    assert hours(preset(), costs) == pytest.approx(3 * (steps + images / 10) / 3600)


class Run(NamedTuple):
    """A finished run and the most bytes that one of its processes held."""

    folder: Path
    memory: int


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Run:
    """The paper preset, run with random weights on a miniature of EuroSAT.

    The miniature's split has its own checksum.
    """
    folder = tmp_path_factory.mktemp("small")
    entry = miniature.make("eurosat", folder / "datasets")
    project = checkout(folder / "adapt")
    catalogue = project / "adapt/data/datasets.yaml"
    catalogue.write_text(
        catalogue.read_text(encoding="utf-8").replace(dataset_specs()["eurosat"].split.sha256, entry.split.sha256),
        encoding="utf-8",
    )
    torch.manual_seed(0)
    weights = folder / "random.safetensors"
    save_file(open_clip.create_model("ViT-B-16-quickgelu").state_dict(), weights)
    own = [f"data.root={folder / 'datasets'}", f"backbone.pretrained={weights}"]
    call(project, "python", "-m", "stages.compose", "preset=paper", *SMALL, *own)
    env = {**environment(), "ADAPT_WARM": "no"}  # a warm worker is the server's child, whom nobody waits for
    command = ["python", "-c", MEASURE, "dvc", "repro"]
    done = subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8", env=env)
    assert done.returncode == 0, done.stderr
    weights.unlink()
    return Run(project, int(done.stdout))


@pytest.mark.slow
def test_paper_runs_end_to_end(ran):
    with (ran.folder / "reports/tables/accuracy.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert {name: row["tokens"] for name, row in rows.items()} == {"zero_shot": "0", "adapt": "128"}
    metrics = json.loads((ran.folder / "runs/eurosat/adapt/seed_1/metrics.json").read_text(encoding="utf-8"))
    facts = {"preset": "paper", "backbone": "ViT-B-16-quickgelu", "images": 20, "precision": "float32"}
    assert facts.items() <= metrics.items()


@pytest.mark.slow
def test_paper_fits_in_memory(ran, record_property):
    record_property("most memory of a stage, GB", round(ran.memory / 1e9, 2))
    assert ran.memory < LIMIT
