"""Seeds side by side on one pretended GPU: their processes start before CUDA does."""

import csv

import pytest

from adapt.pipeline import seeds
from tests.project import ROOT


@pytest.fixture(scope="module")
def told(program) -> dict:
    return program("seeds_run")[0]


def test_every_seed_has_the_backbone_on_the_gpu(told):
    assert [(line["seed"], line["device"]) for line in told["seeds"]] == [(3, "cuda"), (1, "cuda")]
    assert all(line["held"] > 0 for line in told["seeds"])


def test_seeds_run_in_processes_of_their_own_and_this_one_leaves_cuda_alone(told):
    assert told["pid"] not in {line["pid"] for line in told["seeds"]} and not told["started"]


def test_seeds_run_one_after_another_where_the_memory_holds_one(program):
    (line,) = program("seeds_run", FAKE_GB="0.05")
    assert {seed["pid"] for seed in line["seeds"]} == {line["pid"]}


def test_seeds_run_one_after_another_where_torch_starts_cuda_to_count_the_gpus(program):
    """NVML does not count parts of a GPU, so torch asks CUDA; then no fork can use it."""
    (line,) = program("seeds_run", CUDA_VISIBLE_DEVICES="MIG-0")
    assert {seed["pid"] for seed in line["seeds"]} == {line["pid"]}
    assert all(seed["held"] > 0 for seed in line["seeds"])


def test_gpu_that_does_not_take_the_backbone_is_told(program):
    (line,) = program("seeds_run", FAKE_GB="0.0005")
    assert line["refused"].startswith(
        "params.yaml: runtime.device: the backbone cannot be moved to the GPU (CUDA out of mem"
    )


def test_estimate_of_the_memory_is_no_less_than_any_recorded_step():
    weights = 149_620_737  # of ViT-B/16
    with (ROOT / "reports/launches.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    short = [row for row in rows if seeds.need(weights, int(row["classes"])) < 1e9 * float(row["peak_gb"])]
    assert rows and not short
