"""A training step as one CUDA graph: recorded once, then replayed, so that a GPU does not wait for Python.

A step of prompt tuning is over a thousand small kernels (reports/launches.csv), which the host has to start one by
one. Between two prunings every step starts the same ones on the same memory, so they are recorded and started together.
A pruning changes shapes: the next steps run as they come, then one is recorded anew.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from adapt.data.loader import Batch
from adapt.methods._base import Method

WARM = 3  # steps that run as they come before one is recorded: libraries make their workspaces in them
TOLERANCE = 1e-2  # of what a step changes: where kernels add in any order, two runs of one step differ by far less

Terms = dict[str, Tensor]


@runtime_checkable
class Recording(Protocol):
    """Work that was recorded."""

    def replay(self) -> None:
        """Do it again, on what its tensors hold now."""


@runtime_checkable
class Recorder(Protocol):
    """What records work."""

    def run(self, work: Callable[[], Terms]) -> Terms:
        """Do the work where it will be recorded."""
        ...

    def record(self, work: Callable[[], Terms]) -> tuple[Recording, Terms]:
        """The work, recorded and not done, and the tensors that hold what it comes to after each replay."""
        ...


class CudaRecorder:
    """Records work as CUDA graphs, each with memory of its own, which goes with it."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def run(self, work: Callable[[], Terms]) -> Terms:
        """Do the work on the stream that it will be recorded on."""
        usual = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            found = work()
        usual.wait_stream(self.stream)
        return found

    def record(self, work: Callable[[], Terms]) -> tuple[Recording, Terms]:
        """The work, recorded and not done, and the tensors that hold what it comes to after each replay."""
        graph, usual, causes = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device), []
        try:
            # threads that cut the next views allocate meanwhile; what they do is not of this graph
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                try:
                    found = work()
                except Exception as error:
                    causes.append(error)
                    raise
        except Exception as error:  # to end a capture that was broken raises another, which tells nothing
            raise (causes or [error])[0] from None
        finally:
            torch.cuda.set_stream(usual)  # which torch leaves only where the capture can be ended
        return graph, found


class GraphedStep:
    """`compute(batch)`, replayed where a method's steps are alike; `forget` when shapes have changed.

    The first replay of every recording is held to the same step as it comes: where parameters, the optimizer's state or
    the scores differ, steps go on without recording, from the state of the step that was not recorded.
    """

    def __init__(
        self,
        method: Method,
        optimizer: Callable[[], torch.optim.Optimizer],
        compute: Callable[[Batch], Terms],
        recorder: Recorder,
    ):
        self.method, self.optimizer, self.compute, self.recorder = method, optimizer, compute, recorder
        self.refused: str | None = None  # why nothing is recorded any more
        self.size = 0
        self.forget()

    def forget(self) -> None:
        """Record anew."""
        self.warmed, self.graph = 0, None
        self.inputs: Batch | None = None
        self.terms: Terms = {}

    def __call__(self, batch: Batch) -> Terms:
        """The step's losses, by name."""
        if self.refused is not None or not self.method.has_fixed_steps():
            return self.compute(batch)
        if len(batch.labels) < self.size:
            return self.compute(batch)  # the last of an epoch
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
        """Do the step as it comes, record it, and replay it from the same state."""
        before = [tensor.clone() for tensor in self.state()]
        plain = self.recorder.run(lambda: self.compute(batch))
        expected = [tensor.clone() for tensor in self.state()]
        try:
            self.inputs = copy(batch, self.method.modifies_image_tower)
            self.restore(before)
            self.graph, self.terms = self.recorder.record(lambda: self.compute(self.inputs))  # pyright: ignore
            self.graph.replay()
            wrong = distance(before, expected, self.state())
        except Exception as error:  # torch does not say what it raises where something cannot be recorded
            return self.refuse(plain, expected, " ".join((str(error) or repr(error)).split())[:200])
        if not wrong <= TOLERANCE:  # nan is astray too
            return self.refuse(plain, expected, f"a replayed step went {wrong:.1g} of its length astray")
        return {name: term.clone() for name, term in self.terms.items()}

    def refuse(self, plain: Terms, expected: list[Tensor], reason: str) -> Terms:
        """Go on without recording, from the step that was not recorded."""
        self.forget()
        self.refused = reason
        self.restore(expected)
        return plain

    @torch.no_grad()
    def restore(self, values: list[Tensor]) -> None:
        """Put back what a step has changed."""
        for tensor, value in zip(self.state(), values, strict=True):
            tensor.copy_(value)

    def state(self) -> list[Tensor]:
        """All that a step changes in place."""
        optimizer = self.optimizer()
        found = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        kept = [value for parameter in found for value in optimizer.state.get(parameter, {}).values()]
        return [tensor.detach() for tensor in (*found, *kept, *self.method.scores()) if isinstance(tensor, Tensor)]


def copy(batch: Batch, with_images: bool) -> Batch:
    """A batch in memory of its own, which others will be copied into."""
    images = batch.images.clone() if with_images else None

    def cut() -> Tensor:
        assert images is not None, "a method that leaves the image tower alone asks for no images"
        return images

    return Batch(cut, batch.labels.clone(), batch.teacher.clone())


def fill(inputs: Batch, batch: Batch) -> None:
    """Copy a batch into another's memory."""
    inputs.labels.copy_(batch.labels)
    inputs.teacher.copy_(batch.teacher)
    if "images" in vars(inputs):  # asked for while it was recorded
        inputs.images.copy_(batch.images)


def distance(before: list[Tensor], expected: list[Tensor], found: list[Tensor]) -> float:
    """How far a step has led astray: the largest distance of a tensor from where it should be, by its way to there.

    It is nan where one of them is.
    """
    pairs = zip(before, expected, found, strict=True)
    off = [float((b - c).norm() / ((a - b).norm() + 1e-20)) for a, b, c in pairs if b.numel()]
    return float(torch.tensor([0.0, *off]).max())
