"""Seeds side by side on one GPU, pretended: their processes start before CUDA does."""

import pytest


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
