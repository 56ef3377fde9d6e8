"""Exported models: ONNX against torch, tuned image tower against the plain one.

    python -m benchmarks.export

Tuned is `uniform`, which has as many tokens as `adapt` ends with; plain is `zero_shot`. All start from the same decoded
pixels and end with probabilities; the class embeddings are computed before. In each round the four take turns, each
once untimed and once timed; ratios are medians over the rounds, rates are images per second. The pocket CLIP has its
own weights and preset, ViT-B/16 has random weights and the paper's preset.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn import functional as F

import adapt
from adapt import methods
from adapt.export import onnx
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from adapt.methods._base import Method
from adapt.pipeline import method_configs, params
from adapt.runtime import yaml
from adapt.settings.composition import compose
from adapt.task import FewShotTask
from benchmarks import rig

TUNED, PLAIN = "uniform", "zero_shot"
CLASSES = 10
SIZES = {"pocket": (128, 31), rig.BACKBONE: (8, 5)}  # images per batch, rounds


def make_task(backbone: str) -> FewShotTask:
    """Build a task on the CPU."""
    if backbone == rig.BACKBONE:
        return rig.make_task(CLASSES)
    clip, names = adapt.load_clip(backbone, device="cpu"), adapt.load_dataset("digits").classes
    return FewShotTask(clip, "a photo of a {}.", list(names), F.normalize(torch.randn(CLASSES, 128), dim=-1), seed=1)


def make_method(name: str, task: FewShotTask) -> Method:
    """Build a method with the settings of the backbone's preset."""
    preset = "pocket" if task.backbone.name == "pocket" else "paper"
    composed = params.Params(**yaml.parse(compose([f"preset={preset}"])))
    return methods.build(name, task, dict(method_configs.of_params(composed, name, composed.datasets[0]))).eval()


def runners(method: Method, pixels: torch.Tensor, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return functions that compute the probabilities, by onnxruntime and by torch."""
    backbone, classify = method.task.backbone, method.classifier()
    made = {
        "method": "", "preset": "", "backbone": backbone.name, "weights": backbone.weights, "dataset": "",
        "template": "", "seed": 1, "pretrained": backbone.pretrained, "classes": method.task.classes,
    }  # fmt: skip
    folder.mkdir()
    run = onnx.write(folder, Folded(method), Facts(made, None, method.lengths(), backbone.image_size))
    array = pixels.numpy()
    return {"onnx": lambda: run(array), "torch": lambda: classify(backbone.normalise(pixels)).softmax(dim=1)}


@torch.no_grad()
def compare(backbone: str) -> dict[str, Any]:
    """Return rates and ratios on a backbone.

    A ratio above 1 means that the first of the two named is faster.
    """
    task, (batch, rounds) = make_task(backbone), SIZES[backbone]
    size = task.backbone.image_size
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    tuned = make_method(TUNED, task)
    with TemporaryDirectory() as folder:
        ours = runners(tuned, pixels, Path(folder) / "tuned")
        plain = runners(make_method(PLAIN, task), pixels, Path(folder) / "plain")
        works = {
            f"{kind} {name}": work for name, both in (("tuned", ours), ("plain", plain)) for kind, work in both.items()
        }
        times = [{name: rig.warm(work)[0] for name, work in works.items()} for _ in range(rounds)]

    def ratio(first: str, second: str) -> float:
        return round(statistics.median(row[second] / row[first] for row in times), 3)

    rates = {name: round(batch / statistics.median(row[name] for row in times), 1) for name in works}
    return {
        "backbone": backbone, "batch": batch, "image_tokens": sum(tuned.lengths()["image"]),
        **{f"{name}, images per second": rate for name, rate in rates.items()},
        "onnx over torch": ratio("onnx tuned", "torch tuned"),
        "tuned over plain, onnx": ratio("onnx tuned", "onnx plain"),
        "tuned over plain, torch": ratio("torch tuned", "torch plain"),
    }  # fmt: skip


def table(recorded: dict[str, Any]) -> list[str]:
    """Return the recorded ratios in Markdown, as docs/export.md has them."""
    lines = ["| backbone | ONNX over torch | tuned over plain, ONNX | tuned over plain, torch |", "|---|---|---|---|"]
    for row in recorded["rows"]:
        ratios = (row[name] for name in ("onnx over torch", "tuned over plain, onnx", "tuned over plain, torch"))
        lines.append(f"| {row['backbone']} | {' | '.join(f'{ratio:.2f} ×' for ratio in ratios)} |")
    return lines


def main() -> None:
    rig.run("export", (rig.apart(compare, backbone) for backbone in SIZES))


if __name__ == "__main__":
    main()
