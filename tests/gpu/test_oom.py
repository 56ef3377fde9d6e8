"""A pretended GPU with too little memory, and PyTorch's own error and allocator."""

import pytest

COUNT = 4000  # classes


@pytest.mark.slow
@pytest.mark.parametrize("gigabytes", [0.12, 0.2])
def test_classes_are_halved_until_memory_holds_a_step(gigabytes, program):
    (line,) = program("oom_run", str(COUNT), FAKE_GB=str(gigabytes))
    assert line["tried"] == [COUNT // 2**n for n in range(len(line["tried"]))] and len(line["tried"]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("gigabytes", [0.12, 0.2])
def test_no_more_is_halved_than_has_to_be(gigabytes, program):
    """The memory of the failed step is free when the next one starts."""
    (line,) = program("oom_run", str(COUNT), FAKE_GB=str(gigabytes))
    assert line["went_on_with"] == line["tried"][-1] and not line["twice_as_many_fit"]
