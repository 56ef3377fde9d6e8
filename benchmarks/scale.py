"""The growth of a step of `adapt` with classes, tokens, shots and layers.

    python -m benchmarks.scale

The model is ViT-B/16 with random weights. Each row is a process of its own: the median of its steps after an untimed
one, and its peak memory. One setting varies at a time, from 100 classes, batches of 4 and 8 tokens per layer in both
towers. Above AT_ONCE classes only one step is timed; `all kept` is the same without returning memory to the system
between the parts (adapt/runtime/malloc.py). `pruned` is the same run before and after it reaches its budget: 192
tokens, then 128.
"""

import math
import statistics
from dataclasses import replace
from typing import Any

import torch

from adapt.data.loader import FewShotLoader
from adapt.prompts import BRANCHES, Prompts
from adapt.runtime import malloc
from benchmarks import rig
from benchmarks.step import own_step

CLASSES, LENGTH, REPEATS = 100, 8, 3
AT_ONCE = 1000  # classes encoded at a time from here on


def measure(classes: int, lengths: list[int], give_back: bool = True) -> dict[str, Any]:
    """Measure a step with `lengths` tokens in the layers."""
    if not give_back:
        malloc.trim_heap = lambda: None
    task = rig.make_task(classes)
    if classes > AT_ONCE:
        task = replace(task, backbone=replace(task.backbone, text_batch_size=AT_ONCE))
    method, backbone = rig.make_method("uniform", task), task.backbone
    method.prompts = Prompts.initialise(dict.fromkeys(BRANCHES, lengths), backbone.widths, 0.02, seed=0)
    batch = rig.make_batch(task)
    second = rig.median(own_step(method, batch), REPEATS if classes <= AT_ONCE else 1)
    return {"seconds": round(second, 3), "memory_gb": round(rig.peak(), 2), "class_tokens": sum(task.text.lengths)}


def pruned() -> dict[str, Any]:
    """Measure steps at the start and at the budget, in turn."""
    task = rig.make_task(10)
    batch, layers = rig.make_batch(task), task.backbone.layers
    steps = []
    for total in (LENGTH * sum(layers.values()), 128):
        method = rig.make_method("uniform", task)
        each, rest = divmod(total // 2, layers["text"])
        lengths = [each + (layer < rest) for layer in range(layers["text"])]
        method.prompts = Prompts.initialise(dict.fromkeys(BRANCHES, lengths), task.backbone.widths, 0.02, seed=0)
        steps.append(own_step(method, batch))
    rounds = [[rig.seconds(step) for step in steps] for _ in range(8)][1:]
    return {"ratio": round(statistics.median(before / after for before, after in rounds), 3)}


def views(shots: int) -> dict[str, Any]:
    """Measure the time of a batch of crops and the memory of the few-shot images.

    There are 10 classes.
    """
    count = 10 * shots
    images = [torch.randint(0, 256, (3, 256, 256), dtype=torch.uint8) for _ in range(count)]
    backbone = rig.make_task(1).backbone
    batches = FewShotLoader(
        images=images, labels=torch.zeros(count, dtype=torch.long), view_features=torch.zeros(count, 1, 512),
        eval_features=torch.zeros(count, 512), normalise=backbone.normalise, seed=1, batch_size=rig.BATCH,
        image_size=224, index_offset=0,
        crop_scale=[0.08, 1.0], horizontal_flip=True, device=backbone.device,
    )  # fmt: skip
    second = rig.median(lambda: list(batches(0)), 3) / math.ceil(count / rig.BATCH)
    return {"seconds": round(second, 4), "images_mb": round(sum(image.nbytes for image in images) / 1e6, 1)}


def main() -> None:
    rows = []

    def add(what: str, value: Any, work: Any, *arguments: Any) -> None:
        rows.append({"what": what, "value": value, **rig.apart(work, *arguments)})
        print(rows[-1], flush=True)

    for classes in (10, 100, 1000, 10_000):
        add("classes", classes, measure, classes, [LENGTH] * 12)
    add("classes, all kept", 10_000, measure, 10_000, [LENGTH] * 12, False)
    for length in (1, 4, 16):
        add("tokens a layer", length, measure, CLASSES, [length] * 12)
    for first in (6, 11):
        add("first layer with tokens", first, measure, CLASSES, [0] * first + [LENGTH] * (12 - first))
    for shots in (1, 16):
        add("shots", shots, views, shots)
    add("pruned", "192 → 128 tokens", pruned)
    rig.record("scale", rows)


if __name__ == "__main__":
    main()
