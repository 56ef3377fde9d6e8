"""A fitted method on disk: a folder with its tensors, the classes that it tells apart, its lengths and its log.

The stage `train` and `Model.save` write the same files: prompts.safetensors, classes.safetensors, lengths.csv,
history.csv, trace.csv, cost.json. The metadata of prompts.safetensors says what the run is made from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, Config
from adapt.runtime import formats
from adapt.training.fit import FitResult
from adapt.training.trainer import TrainLog

PROMPTS, CLASSES = "prompts.safetensors", "classes.safetensors"
COLUMNS = {
    "lengths.csv": ("branch", "layer", "length"),
    "history.csv": ("epoch", "lr", "loss", "cross_entropy", "tokens"),  # and the method's own terms
    "trace.csv": ("step", "epoch", "tokens_left", "branch", "layer", "token", "score"),
}
OF_CLASSES = ("backbone", "weights", "precision", "dataset")  # all that class embeddings are made from


def describe(
    backbone: Backbone,
    *,
    preset: str,
    dataset: str,
    template: str,
    classes: list[str],
    method: str,
    config: Config,
    augment: AugmentConfig,
) -> dict[str, Any]:
    """What a run is made from, but for its seed; evaluation builds the method from it."""
    clip = {"backbone": backbone.name, "pretrained": backbone.pretrained, "weights": backbone.weights}
    task = {"precision": backbone.precision, "dataset": dataset, "template": template, "classes": list(classes)}
    settings = {"method": method, "config": config.model_dump(), "augment": augment.model_dump()}
    return {"preset": preset, **clip, **task, **settings}


def write(folder: Path, result: FitResult, made_from: Mapping[str, Any], classes: Mapping[str, Tensor]) -> None:
    """Fill the folder of one run.

    classes: the teacher's class embeddings [c, f], as `teacher_features.of_classes` gives them.
    """
    formats.write_tensors(folder / PROMPTS, result.tensors, made_from)
    kept = {name: value.cpu().contiguous() for name, value in classes.items()}
    formats.write_tensors(folder / CLASSES, kept, {key: made_from[key] for key in OF_CLASSES})
    log = result.log
    columns = {**COLUMNS, "history.csv": list(log.history[0]) if log.history else COLUMNS["history.csv"]}
    for name, rows in (("lengths.csv", result.lengths), ("history.csv", log.history), ("trace.csv", log.trace)):
        formats.write_csv(folder / name, columns[name], rows)
    cost = {"steps": log.steps, "seconds": round(log.seconds, 3), "memory_mb": round(result.memory / 1e6, 1)}
    cost |= {"step_gflop": round(result.flops / 1e9, 4)} if result.flops else {}
    cost |= {"budget": result.budget} if result.budget is not None else {}
    formats.write_json(folder / "cost.json", cost)


def read(folder: Path, made_by: str) -> tuple[FitResult, dict[str, Any], dict[str, Tensor]]:
    """The inverse of `write`: the result, what it is made from, and the class embeddings.

    made_by: what makes such a folder, for the message when a file is missing or broken.
    Raises: UserError for a folder that is not whole.
    """
    tensors = formats.read_tensors(folder / PROMPTS, made_by)
    classes = formats.read_tensors(folder / CLASSES, made_by)
    tables = {name: [parse(row) for row in formats.read_csv(folder / name, made_by)] for name in COLUMNS}
    cost = formats.read_json(folder / "cost.json", made_by)
    log = TrainLog(tables["history.csv"], tables["trace.csv"], cost["steps"], cost["seconds"])
    memory, flops = round(cost["memory_mb"] * 1e6), round(cost.get("step_gflop", 0) * 1e9)
    result = FitResult(tensors, tables["lengths.csv"], log, memory, flops, cost.get("budget"))
    return result, formats.read_made_from(folder / PROMPTS), classes


def parse(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of a table, its numbers as numbers."""
    return {key: value if key == "branch" else float(value) if "." in value or "e" in value else int(value)
            for key, value in row.items()}  # fmt: skip
