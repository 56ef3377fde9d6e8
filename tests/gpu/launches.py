"""Count a training step's work for a GPU, on a machine without one.

    python -m tests.gpu.launches PRECISION CLASSES METHODS [compile]     such as: bfloat16 10,1000 adapt,coop

The step is at ViT-B/16 with the paper's settings and a batch of 4. `compile` compiles the blocks, as `runtime.compile`
does.

Each method gives a line of JSON:

- `launches`: work that the device is told to do; `gemms` of it are matrix products, and `compiled` are kernels that
  Triton has to compile first;
- how often the host waits for the device;
- copies from the host (`h2d`; `h2d_pageable` of them from memory that is not pinned) and to it;
- casts between floating-point types (`casts`; `frozen_casts` of them of the backbone's own weights), and `cats`;
- memory, and the host's time;
- `batch_…`: by how much a number grows with a batch that has to be made;
- launches by operation, the most frequent ones.

Nothing is computed except for the texts (see fakecuda.c). FAKE_CC and FAKE_GB in the environment choose another device.
"""

import collections
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adapt.config import AugmentConfig
from adapt.pipeline import method_configs, params
from adapt.runtime import yaml
from adapt.settings.composition import compose
from adapt.task import FewShotTask
from adapt.training import fit, optimizers
from adapt.training.trainer import Epoch, Trainer
from benchmarks import rig
from tests.gpu import build, counts
from tests.gpu.computed import Computed

TOP = 25  # operations that are told of
WARM = 3  # more steps before the one that counts, by which the allocator has its memory
KINDS = ("launches", "gemms", "compiled", "waits", "h2d", "h2d_pageable", "h2d_bytes", "d2h")
CUDA = torch.device("cuda")
aten = torch.ops.aten


class Operations(TorchDispatchMode):
    """Launches by operation, and casts.

    While it watches, autograd checks the indices of an index_put, which takes six launches more.
    """

    def __init__(self, frozen: set[int]):
        super().__init__()
        self.frozen = frozen  # addresses of the backbone's weights
        self.launches: collections.Counter[str] = collections.Counter()
        self.casts = self.frozen_casts = self.cats = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = counts.launches()
        found = func(*args, **(kwargs or {}))
        if launched := counts.launches() - before:
            self.launches[str(func).removeprefix("aten.").removesuffix(".default")] += launched
        if func is aten._to_copy.default and found.dtype != args[0].dtype and args[0].is_floating_point():
            self.casts += 1
            self.frozen_casts += args[0].untyped_storage().data_ptr() in self.frozen
        self.cats += func is aten.cat.default
        return found


def make_loader(task: FewShotTask, optimizer: Any) -> Any:
    """Batches of random images, with random features of the teacher's."""
    labels = [number % len(task.classes) for number in range(2 * rig.BATCH)]
    images = [torch.randint(0, 256, (3, 375, 500), dtype=torch.uint8) for _ in labels]
    features = {"train.views": torch.randn(len(labels), 2, 512), "train.frozen": torch.randn(len(labels), 512)}
    return fit.make_loaders(
        task.backbone, {"train": images}, {"train": labels}, features, seed=1, optimizer=optimizer,
        augment=AugmentConfig(crop_scale=[0.3, 1.0], horizontal_flip=True),
    )["train"]  # fmt: skip


def measure(precision: Any, count: int, name: str, compiled: bool) -> dict[str, Any]:
    """The line of one method."""
    paper = params.Params(**yaml.parse(compose(["preset=paper"])))
    config: Any = method_configs.of_params(paper, name, "caltech101")
    optimizer = config.optimizer.model_copy(update={"batch_size": rig.BATCH})
    with Computed():
        task = rig.make_task(count, CUDA, precision)
        task = replace(task, backbone=replace(task.backbone, compile=compiled))
        method = rig.make_method(name, task)
        loader = make_loader(task, optimizer)
        method.on_fit_start(loader, loader)
        method.on_train_start(len(loader), 1000)
        method.on_phase_start(0)
        batch = loader.batch(0, 0)
        with torch.set_grad_enabled(not compiled):  # without gradients nothing is compiled
            method.losses(batch)  # texts are embedded, and masks made, when they are first needed
    trainer = Trainer(method, loader, optimizer, [Epoch(0, 0, 1000)], None)
    trainer.optimizer = optimizers.build(optimizer, method.parameters())

    def step() -> None:
        trainer.step(batch, 1e-3, 0)

    for _ in range(WARM):
        step()
    torch.cuda.reset_peak_memory_stats()
    known, peak = counted(step), torch.cuda.max_memory_allocated()
    fresh = counted(lambda: trainer.step(loader.batch(0, 0), 1e-3, 0))
    seconds = min(rig.seconds(step) for _ in range(WARM))
    with Operations({weight.untyped_storage().data_ptr() for weight in task.backbone.model.parameters()}) as seen:
        step()
    return {
        "method": name, "classes": count, "precision": precision, **{kind: known[kind] for kind in KINDS},
        "casts": seen.casts, "frozen_casts": seen.frozen_casts, "cats": seen.cats,
        "peak_gb": round(peak / 1e9, 3), "host_ms": round(seconds * 1e3, 1),
        **{f"batch_{kind}": fresh[kind] - known[kind] for kind in KINDS if fresh[kind] > known[kind]},
        "by_operation": dict(seen.launches.most_common(TOP)),
    }  # fmt: skip


def counted(work: Callable[[], Any]) -> dict[str, int]:
    """What some work asks of the device."""
    counts.reset()
    work()
    return {"launches": counts.launches(), "compiled": counts.compiled(), **counts.read()}


def main() -> None:
    """See above."""
    torch.backends.cudnn.enabled = False  # its library asks a true GPU; convolution and attention go without
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.set_num_threads(1)
    precision, classes, names, *how = sys.argv[1:]
    for count in map(int, classes.split(",")):
        for name in names.split(","):
            print(json.dumps(measure(precision, count, name, how == ["compile"])), flush=True)


if __name__ == "__main__":
    if build.RUNTIME in os.environ.get("LD_PRELOAD", ""):
        main()
    elif why := build.obstacle():
        sys.exit(f"no GPU can be pretended: {why}")
    else:
        environment = build.environment(build.build(build.FOLDER))
        os.execve(sys.executable, [sys.executable, "-m", "tests.gpu.launches", *sys.argv[1:]], environment)
