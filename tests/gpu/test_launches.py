"""What a step at ViT-B/16 asks of a GPU, by PyTorch's own count: see launches.py."""

import pytest

from adapt import methods
from tests.gpu.conftest import each

SOME = ["adapt", "coop", "cocoop", "clip_lora"]
TUNED = [name for name in methods.names() if methods.find(name).trainable]

PAGEABLE = "images, labels and features are copied from memory that is not pinned"
OUTER = "torch 2.14 compiles a kernel of Triton's for outer products, by gcc"
DRAWS = "the control's draws are made on the CPU in every step"
ALPHA = "the search's own batch is copied from memory that is not pinned"


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
@each(SOME, cocoop=OUTER)
def test_step_needs_no_compiler(name, told):
    assert told(name, SOME)["compiled"] == 0


@pytest.mark.slow
@each(SOME, **dict.fromkeys(SOME, PAGEABLE))
def test_batch_is_not_waited_for(name, told):
    assert "batch_waits" not in told(name, SOME)


@pytest.mark.slow
@each(["coop", "cocoop"])
def test_views_are_not_cut_for_a_method_that_sees_no_pixels(name, told):
    assert "batch_launches" not in told(name, SOME)


@pytest.mark.thorough
@each(TUNED, random_prune=DRAWS, dpl=ALPHA)
def test_step_of_every_method_neither_waits_nor_copies(name, told):
    assert {told(name, TUNED)[kind] for kind in ("waits", "h2d", "d2h")} == {0}
