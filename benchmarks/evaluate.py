"""Evaluation against open_clip's bare `encode_image`, on a random ViT-B/16.

    python -m benchmarks.evaluate

Evaluation does the same as the stage: packed bytes in, classes out, batch by batch; the class embeddings are computed
once before. Bare is `model.encode_image` on batches that are already floats. Both process the same images in turn,
and the rates are images per second. A tuned method's image tower also attends to its prompts; `zero_shot` is plain
CLIP.
"""

import statistics
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from adapt.clip.backbone import Precision
from adapt.pipeline import image_cache
from adapt.training.predict import predict
from benchmarks import rig

METHODS = ("zero_shot", "adapt")
IMAGES, BATCH, CLASSES, REPEATS = 24, 12, 100, 2


@torch.no_grad()
def compare(name: str, device: torch.device = rig.CPU, precision: Precision = "float32") -> dict[str, Any]:
    """Return evaluation's rate, and its ratio to the bare rate."""
    task = rig.make_task(CLASSES, device, precision)
    method = rig.make_method(name, task).eval()
    paths = [str(number) for number in range(IMAGES)]
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 224, 224), dtype=np.uint8)
    images, classify = image_cache.index(pixels, paths).select(paths), method.classifier()
    ready: Any = SimpleNamespace(classifier=lambda: classify, task=task)
    batches = task.backbone.normalise(torch.from_numpy(pixels)).split(BATCH)

    def evaluate() -> None:
        predict(ready, images, batch_size=BATCH)

    def bare() -> None:
        with task.backbone.autocast():
            for batch in batches:
                task.backbone.model.encode_image(batch)

    rounds = [(rig.seconds(bare), rig.seconds(evaluate)) for _ in range(REPEATS + 1)][1:]
    return {
        "method": name,
        "images_per_second": round(IMAGES / statistics.median(own for _, own in rounds), 2),
        "over_bare": round(statistics.median(theirs / own for theirs, own in rounds), 2),
    }


def main() -> None:
    rig.run("evaluate", (rig.apart(compare, name) for name in METHODS))


if __name__ == "__main__":
    main()
