"""A step's work at ViT-B/16 for a GPU, by PyTorch's own count: see launches.py."""

import pytest

from adapt import methods
from tests.gpu.conftest import each

SOME = ["adapt", "coop", "cocoop", "clip_lora"]
TUNED = [name for name in methods.names() if methods.find(name).trainable]


@pytest.fixture(scope="module")
def told(program):
    """The line of a method with 10 classes in bfloat16, one of several."""

    def ask(name: str, names: list[str]) -> dict:
        return next(line for line in program("launches", "bfloat16", "10", ",".join(names)) if line["method"] == name)

    return ask


@pytest.mark.slow
@each(SOME)
def test_step_neither_waits_nor_copies(name, told):
    assert {told(name, SOME)[kind] for kind in ("waits", "h2d", "d2h")} == {0}


@pytest.mark.slow
@each(SOME)
def test_step_needs_no_compiler(name, told):
    assert told(name, SOME)["compiled"] == 0


@pytest.mark.slow
@each(SOME)
def test_batch_is_not_waited_for(name, told):
    assert "batch_waits" not in told(name, SOME)


@pytest.mark.slow
@each(["coop", "cocoop"])
def test_views_are_not_cut_for_a_method_that_sees_no_pixels(name, told):
    assert "batch_launches" not in told(name, SOME)


@pytest.mark.thorough
@each(TUNED)
def test_step_of_every_method_waits_for_nothing_and_copies_pinned_memory_alone(name, told):
    """dpl's search also takes a batch of val images, random_prune its draws."""
    assert {told(name, TUNED)[kind] for kind in ("waits", "h2d_pageable", "d2h")} == {0}


@pytest.mark.slow
@each(SOME)
def test_no_frozen_weight_is_cast_in_a_step(name, told):
    assert told(name, SOME)["frozen_casts"] == 0


@pytest.mark.slow
def test_a_step_of_adapt_launches_no_more_than_it_did(told):
    """There were 1,531 launches before three changes.

    Since then frozen matrices are held in bfloat16, masks are kept, and keys and values are gathered together.
    """
    assert told("adapt", SOME)["launches"] <= 1160


@pytest.mark.thorough
def test_a_compiled_step_of_adapt_launches_no_more_than_it_did(program):
    (line,) = program("launches", "bfloat16", "10", "adapt", "compile")
    assert line["compiled"] > 0 and line["launches"] <= 700
