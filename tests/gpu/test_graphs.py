"""Recording on a pretended GPU: where it fails, the run goes on as it was."""

import pytest

from tests.gpu.graphs_run import FACTS


@pytest.mark.parametrize("fact", [fact.__name__ for fact in FACTS])
def test_fact_of_recording_on_a_gpu(fact, program):
    (found,) = program("graphs_run")
    assert found[fact] is True
