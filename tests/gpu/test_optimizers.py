"""Optimizers on a pretended GPU: steps can be recorded, state changes devices."""

import pytest

from tests.gpu.optimizers_run import FACTS


@pytest.mark.parametrize("fact", [fact.__name__ for fact in FACTS])
def test_fact_of_optimizers_on_a_gpu(fact, program):
    (found,) = program("optimizers_run")
    assert found[fact] is True
