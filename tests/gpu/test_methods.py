"""Every method on a pretended GPU gives the results of the CPU.

A step waits for nothing, and a killed run resumes.
"""

from collections.abc import Sequence

import pytest

from adapt import methods
from tests.gpu.conftest import Program, each

NAMES = methods.names()
TUNED = [name for name in NAMES if methods.find(name).trainable]
PRUNED = ["adapt", "random_prune"]  # while they are tuned
RESUMED = ["adapt", "clip_lora", "dpl", "promptsrc", "tip_adapter_f"]  # pruned, drawing, in phases, averaged, cached
PRECISIONS = ("float32", "bfloat16")
TENSORS = 1e-4  # relative differences
SCORES = {"float32": 1e-4, "bfloat16": 0.1}


@pytest.fixture(scope="module")
def told(program: Program):
    """What methods_run tells of a method in a precision."""

    def ask(name: str, precision: str, names: Sequence[str] = NAMES, *resume: str) -> dict:
        lines = program("methods_run", precision, ",".join(names), *resume)
        return next(line for line in lines if line["method"] == name)

    return ask


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@each(NAMES)
def test_method_says_on_a_gpu_what_it_says_on_a_cpu(name, precision, told):
    assert told(name, precision)["scores"] < SCORES[precision]


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@each(NAMES)
def test_what_is_saved_and_loaded_says_the_same(name, precision, told):
    assert told(name, precision)["loaded"] < SCORES[precision]


@pytest.mark.slow
@each(NAMES)
def test_method_learns_the_same_numbers(name, told):
    assert told(name, "float32")["tensors"] < TENSORS


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@each(TUNED)
def test_same_tokens_are_pruned(name, precision, told):
    assert told(name, precision)["same_trace"]


@pytest.mark.slow
@each(TUNED)
def test_step_waits_for_nothing(name, told):
    """But for its batch, for pruning and for saving."""
    assert told(name, "float32")["waits"] == {}


@pytest.mark.slow
@each(PRUNED)
def test_pruning_waits_for_the_scores_and_little_else(name, told):
    assert 0 < told(name, "float32")["waits_to_prune"] <= 1


@pytest.mark.slow
@each(RESUMED)
def test_killed_and_resumed_equals_never_killed(name, told):
    line = told(name, "float32", RESUMED, "resume")
    assert (line["same_tensors"], line["same_history"], line["same_trace"]) == (True, True, True)


@pytest.mark.thorough
@pytest.mark.parametrize("precision", PRECISIONS)
@each(TUNED)
def test_every_method_that_is_killed_and_resumed_equals_never_killed(name, precision, told):
    line = told(name, precision, TUNED, "resume")
    assert (line["same_tensors"], line["same_history"], line["same_trace"]) == (True, True, True)
