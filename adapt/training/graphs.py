"""A training step as one CUDA graph, recorded once and then replayed.

So a GPU does not wait for Python. A step of prompt tuning has over a thousand small kernels (reports/launches.csv),
which the host has to launch one by one. Between two prunings, every step launches the same kernels on the same memory,
so they are recorded and launched together. A pruning changes shapes: the next steps run unrecorded, then one is
recorded again.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from adapt.data.loader import Batch
from adapt.methods._base import Method

WARM = 3  # unrecorded steps before one is recorded: libraries allocate their workspaces in them
TOLERANCE = 1e-2  # relative to a step's change; kernels that sum in any order make two runs of a step differ far less

Terms = dict[str, Tensor]


@runtime_checkable
class Recording(Protocol):
    """Recorded work."""

    def replay(self) -> None:
        """Run the work again, on the current values of its tensors."""


@runtime_checkable
class Recorder(Protocol):
    """Records work, to be replayed."""

    def run(self, work: Callable[[], Terms]) -> Terms:
        """Run the work unrecorded, where it will be recorded later."""
        ...

    def record(self, work: Callable[[], Terms]) -> tuple[Recording, Terms]:
        """Record the work without running it.

        Returns: the recording, and the tensors that hold the work's results after each replay.
        """
        ...


class CudaRecorder:
    """Records work as CUDA graphs; each owns its memory, which is freed with it."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def run(self, work: Callable[[], Terms]) -> Terms:
        """Run the work unrecorded, on the stream that will record it."""
        usual = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            found = work()
        usual.wait_stream(self.stream)
        return found

    def record(self, work: Callable[[], Terms]) -> tuple[Recording, Terms]:
        """Record the work without running it; see `Recorder.record`."""
        graph, usual, causes = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device), []
        try:
            # threads that crop the next views allocate memory meanwhile; their work is not part of this graph
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                try:
                    found = work()
                except Exception as error:
                    causes.append(error)
                    raise
        except Exception as error:  # ending a broken capture raises another error, which explains nothing
            raise (causes or [error])[0] from None
        finally:
            torch.cuda.set_stream(usual)  # torch restores the stream only if the capture can be ended
        return graph, found


class GraphedStep:
    """`compute(batch)`, replayed as long as a method's steps do the same work.

    Call `forget` when shapes have changed. The first replay of every recording is compared with the same step run
    unrecorded. If the parameters, the optimizer's state or the scores differ, training continues without recording,
    from the state after the unrecorded step.
    """

    def __init__(
        self,
        method: Method,
        optimizer: Callable[[], torch.optim.Optimizer],
        compute: Callable[[Batch], Terms],
        recorder: Recorder,
    ):
        self.method, self.optimizer, self.compute, self.recorder = method, optimizer, compute, recorder
        self.refused: str | None = None  # why recording was given up
        self.size = 0
        self.forget()

    def forget(self) -> None:
        """Discard the recording, so that a new one is made."""
        self.warmed, self.graph = 0, None
        self.inputs: Batch | None = None
        self.terms: Terms = {}

    def __call__(self, batch: Batch) -> Terms:
        """Run a step and return its losses by name."""
        if self.refused is not None or not self.method.has_fixed_steps():
            return self.compute(batch)
        if len(batch.labels) < self.size:
            return self.compute(batch)  # the last and smaller batch of an epoch
        if len(batch.labels) > self.size:
            self.size = len(batch.labels)
            self.forget()
        if self.warmed < WARM:
            self.warmed += 1
            return self.recorder.run(lambda: self.compute(batch))
        if self.graph is None:
            return self.first(batch)
        assert self.inputs is not None
        fill(self.inputs, batch)
        self.graph.replay()
        return {name: term.clone() for name, term in self.terms.items()}

    def first(self, batch: Batch) -> Terms:
        """Run the step unrecorded, record it, and replay it from the same state."""
        before = [tensor.clone() for tensor in self.state()]
        plain = self.recorder.run(lambda: self.compute(batch))
        expected = [tensor.clone() for tensor in self.state()]
        try:
            self.inputs = copy(batch, self.method.modifies_image_tower)
            self.restore(before)
            self.graph, self.terms = self.recorder.record(lambda: self.compute(self.inputs))  # pyright: ignore
            self.graph.replay()
            wrong = distance(before, expected, self.state())
        except Exception as error:  # torch does not document its errors for work that cannot be recorded
            return self.refuse(plain, expected, " ".join((str(error) or repr(error)).split())[:200])
        if not wrong <= TOLERANCE:  # also for nan
            return self.refuse(plain, expected, f"a replayed step deviated by {wrong:.1g} of its length")
        return {name: term.clone() for name, term in self.terms.items()}

    def refuse(self, plain: Terms, expected: list[Tensor], reason: str) -> Terms:
        """Give up recording, and continue from the state after the unrecorded step."""
        self.forget()
        self.refused = reason
        self.restore(expected)
        return plain

    @torch.no_grad()
    def restore(self, values: list[Tensor]) -> None:
        """Restore all tensors that a step changes."""
        for tensor, value in zip(self.state(), values, strict=True):
            tensor.copy_(value)

    def state(self) -> list[Tensor]:
        """Return all tensors that a step changes in place."""
        optimizer = self.optimizer()
        found = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        kept = [value for parameter in found for value in optimizer.state.get(parameter, {}).values()]
        return [tensor.detach() for tensor in (*found, *kept, *self.method.scores()) if isinstance(tensor, Tensor)]


def copy(batch: Batch, with_images: bool) -> Batch:
    """Copy a batch into new memory, into which other batches will be copied."""
    images = batch.images.clone() if with_images else None

    def cut() -> Tensor:
        assert images is not None, "a method that leaves the image tower alone asks for no images"
        return images

    return Batch(cut, batch.labels.clone(), batch.teacher.clone())


def fill(inputs: Batch, batch: Batch) -> None:
    """Copy a batch into another's memory."""
    inputs.labels.copy_(batch.labels)
    inputs.teacher.copy_(batch.teacher)
    if "images" in vars(inputs):  # used while the step was recorded
        inputs.images.copy_(batch.images)


def distance(before: list[Tensor], expected: list[Tensor], found: list[Tensor]) -> float:
    """Return how far a step deviates from the expected one, the maximum over tensors.

    It is each tensor's distance from its expected value, divided by the length of its expected change. It is nan if any
    of them is.
    """
    pairs = zip(before, expected, found, strict=True)
    off = [float((b - c).norm() / ((a - b).norm() + 1e-20)) for a, b, c in pairs if b.numel()]
    return float(torch.tensor([0.0, *off]).max())
