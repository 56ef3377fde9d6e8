"""The pretended GPU does what a GPU does, as far as other tests build on it."""

import pytest

from tests.gpu.pretend_run import FACTS


@pytest.mark.parametrize("fact", [fact.__name__ for fact in FACTS])
def test_pretended_gpu_is_like_a_gpu(fact, program):
    (found,) = program("pretend_run", FAKE_CC="8.9")
    assert found[fact] is True
