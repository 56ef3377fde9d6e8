"""A fitted method on disk: a folder of tensors, class embeddings, lengths and log.

The stage `train` and `Model.save` write the same files: prompts.safetensors, classes.safetensors, lengths.csv,
history.csv, trace.csv, cost.json. The metadata of prompts.safetensors records the inputs of the run.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from adapt import methods
from adapt.clip.backbone import Backbone, Precision
from adapt.config import AugmentConfig, Config, Preset
from adapt.data.dataset import Sample
from adapt.errors import UserError
from adapt.runtime import formats
from adapt.training.fit import FitResult
from adapt.training.metrics import accuracy, at_chance
from adapt.training.trainer import TrainLog

PROMPTS, CLASSES = "prompts.safetensors", "classes.safetensors"
METRICS, PREDICTIONS = "metrics.json", "predictions.csv"  # of an evaluated run
SAME = ("preset", "backbone", "weights", "dataset", "method", "seed")  # equal in metrics.json and in the run's inputs
MEASURED = ("shots", "split", "accuracy", "images")
COLUMNS = {
    "lengths.csv": ("branch", "layer", "length"),
    "history.csv": ("epoch", "lr", "loss", "cross_entropy", "tokens"),  # plus the method's own loss terms
    "trace.csv": ("step", "epoch", "tokens_left", "branch", "layer", "token", "score"),
}
OF_CLASSES = ("backbone", "weights", "precision", "dataset")  # all inputs of the class embeddings


class MadeFrom(BaseModel):
    """The inputs of a run: the metadata of prompts.safetensors."""

    preset: Preset
    backbone: str
    pretrained: str | None
    weights: str
    precision: Precision
    dataset: str
    template: str
    classes: list[str]
    method: str
    config: dict[str, Any]
    augment: dict[str, Any]
    seed: int


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
    """Return a run's inputs without the seed; evaluation builds the method from them."""
    clip = {"backbone": backbone.name, "pretrained": backbone.pretrained, "weights": backbone.weights}
    task = {"precision": backbone.precision, "dataset": dataset, "template": template, "classes": list(classes)}
    settings = {"method": method, "config": config.model_dump(), "augment": augment.model_dump()}
    return {"preset": preset, **clip, **task, **settings}


def write(folder: Path, result: FitResult, made_from: Mapping[str, Any], classes: Mapping[str, Tensor]) -> None:
    """Write the files of one run into its folder.

    classes: the teacher's class embeddings [c, f], as `teacher_features.of_classes` returns them.
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


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a fitted method."""
    return (folder / PROMPTS).is_file()


def write_scores(
    folder: Path,
    samples: Sequence[Sample],
    predicted: Sequence[int],
    lengths: Iterable[Mapping[str, Any]],
    trainable: int,
    facts: Mapping[str, Any],
) -> float:
    """Add metrics.json and predictions.csv to a run's folder; return the accuracy.

    predicted: the class of each sample; lengths: as in lengths.csv; facts: further entries of metrics.json.
    """
    rows = [
        {"path": sample.path, "label": sample.label, "prediction": guess}
        for sample, guess in zip(samples, predicted, strict=True)
    ]
    formats.write_csv(folder / PREDICTIONS, ("path", "label", "prediction"), rows)
    labels = [sample.label for sample in samples]
    found = accuracy(predicted, labels)
    counts = {
        "images": len(samples),
        "tokens": sum(int(row["length"]) for row in lengths),
        "trainable": trainable,
        "at_chance": at_chance(round(found * len(samples)), labels),
    }
    formats.write_json(folder / METRICS, {**facts, "accuracy": found, **counts})
    return found


def read_metrics(folder: Path, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read metrics.json; return None if it is missing.

    Raises: UserError as `check_metrics`.
    """
    path = folder / METRICS
    if not path.is_file():
        return None
    found = formats.read_json(path, "adapt tune")
    check_metrics(found, made_from, str(path))
    return found


def check_metrics(found: Any, made_from: Mapping[str, Any], where: str) -> None:
    """Refuse metrics that lack an entry or belong to another run.

    Raises: UserError.
    """
    values = found if isinstance(found, Mapping) else {}
    if lacking := [key for key in (*SAME, *MEASURED) if values.get(key) is None]:
        raise UserError(f"{where}: {lacking[0]} is missing; evaluate the run again")
    for key in SAME:
        if (told := values[key]) != (made := made_from[key]):
            raise UserError(f"{where}: its {key} is {told}, but the model's is {made}; evaluate the run again")


def read(folder: Path, made_by: str) -> tuple[FitResult, dict[str, Any], dict[str, Tensor]]:
    """Read what `write` wrote: the result, the run's inputs and the class embeddings.

    made_by: the command that makes such a folder, for the message about a missing or broken file.
    Raises: UserError for an incomplete or broken folder.
    """
    tensors = formats.read_tensors(folder / PROMPTS, made_by)
    classes = formats.read_tensors(folder / CLASSES, made_by)
    tables = {name: formats.read_csv(folder / name, made_by) for name in COLUMNS}
    cost = formats.read_json(folder / "cost.json", made_by)
    try:
        made_from = MadeFrom.model_validate(formats.read_made_from(folder / PROMPTS), strict=True).model_dump()
        lengths, history, trace = ([parse(row) for row in rows] for rows in tables.values())
        if made_from["method"] not in methods.names():
            raise UserError(
                f"{folder} is of the method {made_from['method']!r}, which is not known here; if it is your own, call "
                "adapt.register_method first"
            )
        if not lengths or any(row.keys() != set(COLUMNS["lengths.csv"]) for row in lengths):
            raise ValueError("lengths.csv has no rows of branch, layer and length")
        shape = len(made_from["classes"]), 2
        for name in ("features", "zero_shot"):
            if (classes[name].shape[0], classes[name].ndim) != shape or not classes[name].isfinite().all():
                raise ValueError(f"{name} of {CLASSES} are not of {shape[0]} classes")
        log = TrainLog(history, trace, cost["steps"], cost["seconds"])
        memory, flops = round(cost["memory_mb"] * 1e6), round(cost.get("step_gflop", 0) * 1e9)
        result = FitResult(tensors, lengths, log, memory, flops, cost.get("budget"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} is not as `{made_by}` writes it ({reason}); make it again") from None
    return result, made_from, classes


def parse(row: Mapping[str, str]) -> dict[str, Any]:
    """Convert a row of a table: every column but `branch` is a number."""
    return {key: value if key == "branch" else number(value) for key, value in row.items()}


def number(text: str) -> float | int:
    """Parse an int, or a float if it is not written as an int.

    Raises: ValueError if it is no number.
    """
    return int(text) if text.lstrip("-").isdecimal() else float(text)
