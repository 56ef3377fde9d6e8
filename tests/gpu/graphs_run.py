"""Facts about recording on the pretended GPU.

Its runtime has no graphs, so torch's own are replaced.
"""

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from adapt.training.graphs import CudaRecorder
from tests.gpu.facts import raises, tell


class Invalid:
    """A graph whose capture CUDA has broken off."""

    def capture_begin(self, *pool: Any, **options: Any) -> None:
        """Nothing."""

    def capture_end(self) -> None:
        """As torch does then."""
        raise RuntimeError("operation failed due to a previous error during capture")


class Cause(Exception):
    """What broke it off."""


def fail() -> dict[str, torch.Tensor]:
    """Some work that cannot be recorded."""
    raise Cause


def record(work: Callable[[], dict[str, torch.Tensor]]) -> None:
    """Record some work in vain."""
    with mock.patch.object(torch.cuda, "CUDAGraph", Invalid):
        CudaRecorder(torch.device("cuda")).record(work)


def a_broken_recording_leaves_its_stream() -> bool:
    usual = torch.cuda.current_stream()
    return raises(Exception, lambda: record(fail)) and torch.cuda.current_stream() == usual


def a_broken_recording_tells_its_cause() -> bool:
    return raises(Cause, lambda: record(fail))


def a_recording_that_cannot_be_ended_tells_why() -> bool:
    return raises(RuntimeError, lambda: record(dict))


FACTS = [
    a_broken_recording_leaves_its_stream, a_broken_recording_tells_its_cause,
    a_recording_that_cannot_be_ended_tells_why,
]  # fmt: skip


if __name__ == "__main__":
    tell(FACTS)
