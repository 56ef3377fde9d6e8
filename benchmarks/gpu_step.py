"""A training step on a GPU, for benchmarks/gpu.py.

It is measured eagerly, replayed as a CUDA graph and by the plain encoders, beside a lower bound of its time.
"""

import gc
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from adapt.clip import backbone as clip
from adapt.config import SGDConfig
from adapt.data.loader import Batch
from adapt.training import flops, graphs, optimizers
from benchmarks import rig
from tests import plain

PRETENDED = "fakecuda" in os.environ.get("LD_PRELOAD", "")  # a fake GPU that runs nothing (tests/gpu/): no true times
PLAIN = 100  # the most classes that the plain step has memory for
STEPS = 20  # timed steps
OPTIMIZER = SGDConfig(
    name="sgd", lr=1.0, momentum=0.9, weight_decay=5e-4, epochs=1, batch_size=rig.BATCH, warmup_epochs=0, warmup_lr=1.0
)

Row = dict[str, Any]

CUDA = torch.device("cuda")
if PRETENDED:
    torch.backends.cudnn.enabled = False  # cuDNN needs a true GPU


class Traffic(TorchDispatchMode):
    """Counts the bytes that all operations read and write, except for views."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func is not torch.ops.aten.detach.default:
            tensors = [value for value in tree_flatten((args, kwargs, out))[0] if isinstance(value, Tensor)]
            self.bytes += sum(value.numel() * value.element_size() for value in tensors)
        return out


class Stepper:
    """A method with a batch, and its step: eager, or as a CUDA graph."""

    def __init__(self, name: str, classes: int, precision: clip.Precision):
        task = rig.make_task(classes, CUDA, precision)
        self.method, self.batch = rig.make_method(name, task), rig.make_batch(task)
        self.method.on_train_start(1000, 40_000)  # so that `adapt` accumulates scores but does not prune yet
        self.optimizer = optimizers.build(OPTIMIZER, self.method.parameters())
        optimizers.set_learning_rate(self.optimizer, 0.0)  # the same work, but parameters do not change
        self.graph = graphs.GraphedStep(
            self.method, lambda: self.optimizer, lambda batch: self.step(batch), graphs.CudaRecorder(CUDA)
        )

    def step(self, batch: Batch | None = None) -> graphs.Terms:
        """Run a step as `trainer` does."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.method.losses(batch or self.batch)
        loss.backward()
        self.method.on_after_backward(1)
        self.optimizer.step()
        return {"loss": loss.detach()}

    def replay(self) -> None:
        """Run a step as a GPU replays it; the first ones are run eagerly."""
        self.graph(self.batch)

    def plain(self) -> None:
        """Run a step with the plain encoders."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.method.task.backbone.autocast():
            loss = plain.losses(self.method, self.batch)
        loss.backward()
        self.optimizer.step()


def ms(work: Callable[[], Any], repeats: int = STEPS) -> float:
    """Return the milliseconds per repetition of some work, after an untimed warm-up."""
    for _ in range(graphs.WARM + 2):
        work()
    return rig.seconds(lambda: [work() for _ in range(repeats)]) / repeats * 1e3


def rates(precision: clip.Precision) -> tuple[float, float]:
    """Return FLOPs per second of a large matrix product, bytes per second of a copy."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(4096, 4096, device=CUDA, dtype=kind) for _ in range(2))
    source, target = (torch.empty(2**28, device=CUDA, dtype=torch.uint8) for _ in range(2))
    return 2 * 4096**3 / (ms(lambda: a @ b) / 1e3), 2 * 2**28 / (ms(lambda: target.copy_(source)) / 1e3)


def step(precision: clip.Precision, classes: int, name: str) -> Row:
    """Return the times of one method's step."""
    gc.collect()
    torch.cuda.empty_cache()
    one = Stepper(name, classes, precision)
    torch.cuda.reset_peak_memory_stats()
    eager = ms(one.step)
    memory = torch.cuda.max_memory_allocated()
    replayed = ms(one.replay)
    with flops.counter() as counter:
        one.step()
    with Traffic() as traffic:
        one.step()
    product, copy = rates(precision)
    arithmetic, moved = counter.get_total_flops() / product * 1e3, traffic.bytes / copy * 1e3
    row = {
        "eager_ms": eager, "graph_ms": replayed, "graph": one.graph.graph is not None, "arithmetic_ms": arithmetic,
        "traffic_ms": moved, "over_bound": replayed / (arithmetic + moved), "memory_gb": memory / 1e9,
        "product_tflops": product / 1e12, "copy_gb_s": copy / 1e9,
    }  # fmt: skip
    if one.graph.refused is not None:
        row["not_recorded"] = one.graph.refused
    if classes <= PLAIN:
        row["plain_ms"] = ms(one.plain, 3)
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
