"""From files to a tuned method and back: what the stages `train` and `evaluate` do for one seed of one dataset."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from adapt import artefacts, fewshot, methods, teacher
from adapt.clip import Backbone
from adapt.data import catalogue
from adapt.data.batches import Batches
from adapt.data.dataset import Item
from adapt.data.views import centre, to_tensor
from adapt.fit import TERMS, Record, Store, fit
from adapt.methods._method import Method
from adapt.task import Task

ROOT = Path("data/tuned")
PROMPTS = "prompts.safetensors"
COLUMNS = {
    "lengths.csv": ("branch", "layer", "length"),
    "history.csv": ("epoch", "lr", *TERMS, "tokens"),
    "trace.csv": ("step", "epoch", "tokens_left", "branch", "layer", "token", "score"),
}


class Tuned(NamedTuple):
    """What one seed ends with."""

    tensors: dict[str, Tensor]
    lengths: list[dict[str, Any]]
    record: Record


def describe(backbone: Backbone, preset: str, dataset: str, method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is made from; it goes into the metadata of the prompts."""
    made_from = {"preset": preset, "backbone": backbone.name, "weights": backbone.weights}
    sections = {name: section.model_dump() for name, section in settings.items()}
    return made_from | {"dataset": dataset, "method": method} | sections


def fingerprint(made_from: Mapping[str, Any], dataset: str, seed: int) -> str:
    """The name of a run's checkpoint: settings, inputs and the library's code."""
    inputs = [fewshot.file(dataset, seed), teacher.file(dataset, None), teacher.file(dataset, seed)]
    return artefacts.fingerprint(made_from, seed, *inputs, *sorted(Path("adapt").rglob("*.py")))


def make_task(backbone: Backbone, dataset: str, seed: int) -> Task:
    """The sampled dataset, as methods see it."""
    described = fewshot.describe(dataset)
    classes = teacher.read(dataset, None, backbone).to(backbone.device)
    return Task(backbone, described.template, described.classes, classes, seed)


def make_batches(backbone: Backbone, dataset: str, seed: int, *, batch: int, scale: list[float], flip: bool) -> Batches:
    """The training images of a seed, with the teacher's features of their views."""
    items, source = fewshot.read(dataset, seed, "train"), catalogue.load(dataset)
    return Batches(
        images=[to_tensor(source.image(item.path)) for item in items],
        labels=torch.tensor([item.label for item in items]),
        teacher=teacher.read(dataset, seed, backbone),
        normalise=backbone.normalise,
        seed=seed,
        batch=batch,
        size=backbone.size,
        scale=scale,
        flip=flip,
    )


def tune(
    name: str,
    backbone: Backbone,
    dataset: str,
    seed: int,
    settings: Mapping[str, Any],
    store: Store,
    progress: Callable[[range], Iterable[int]],
) -> Tuned:
    """Run a method on one seed of a dataset; settings are the params' sections by name."""
    method = methods.build(name, make_task(backbone, dataset, seed), settings)
    optimiser = settings["optimiser"].model_dump()
    batches = make_batches(backbone, dataset, seed, batch=optimiser.pop("batch"), **settings["views"].model_dump())
    record = fit(method, batches, **optimiser, store=store, progress=progress)
    lengths = [
        {"branch": branch, "layer": layer, "length": length}
        for branch, counts in method.lengths().items()
        for layer, length in enumerate(counts)
    ]
    return Tuned(method.tensors(), lengths, record)


def write(path: Path, tuned: Tuned, made_from: Mapping[str, Any]) -> None:
    """The folder of one seed: prompts, lengths, history, trace and cost."""
    path.mkdir()
    artefacts.write_tensors(path / PROMPTS, tuned.tensors, made_from)
    record = tuned.record
    for name, rows in (("lengths.csv", tuned.lengths), ("history.csv", record.history), ("trace.csv", record.trace)):
        artefacts.write_csv(path / name, COLUMNS[name], rows)
    artefacts.write_json(path / "cost.json", {"steps": record.steps, "seconds": round(record.seconds, 3)})


def folder(dataset: str, method: str, seed: int) -> Path:
    """Where `train` leaves a seed."""
    return ROOT / dataset / method / f"seed_{seed}"


def restore(name: str, task: Task, dataset: str) -> Method:
    """The tuned method; refused when another backbone or other weights made its file."""
    backbone = task.backbone
    path, made_by = folder(dataset, name, task.seed) / PROMPTS, f"dvc repro -f train@{dataset}-{name}"
    tensors = artefacts.read_tensors(path, made_by, backbone=backbone.name, weights=backbone.weights)
    return methods.find(name).restore(task, tensors)


def read_pixels(dataset: str, items: Iterable[Item], size: int) -> dict[str, UInt8[Tensor, "3 size size"]]:
    """The images as evaluation sees them, by path, each read once."""
    source = catalogue.load(dataset)
    return {path: centre(source.image(path), size) for path in dict.fromkeys(item.path for item in items)}


@torch.no_grad()
def predict(method: Method, backbone: Backbone, pixels: list[Tensor], batch: int) -> list[int]:
    """The most likely class of every image."""
    classify = method.classifier()
    parts = [torch.stack(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    return torch.cat([classify(backbone.normalise(part)).argmax(dim=1) for part in parts]).tolist()
