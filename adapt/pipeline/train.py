"""What `train` reads for a seed, and the folder that it leaves: data/tuned/<dataset>/<method>/seed_<s>/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapt.clip.backbone import Backbone
from adapt.config import AdamWConfig, AugmentConfig, Config, SGDConfig
from adapt.data.augment import to_tensor
from adapt.data.dataset import Dataset
from adapt.data.loader import FewShotLoader
from adapt.pipeline import fewshot, teacher_cache
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.runtime import formats
from adapt.runtime.checkpoint import Checkpoint
from adapt.task import FewShotTask
from adapt.training.fit import FitResult

ROOT = Path("data/tuned")
PROMPTS = "prompts.safetensors"
COLUMNS = {
    "lengths.csv": ("branch", "layer", "length"),
    "history.csv": ("epoch", "lr", "loss", "cross_entropy", "tokens"),  # and the method's own terms
    "trace.csv": ("step", "epoch", "tokens_left", "branch", "layer", "token", "score"),
}


def folder(dataset: str, method: str, seed: int) -> Path:
    """Where `train` leaves a seed."""
    return ROOT / dataset / method / f"seed_{seed}"


def prompts(dataset: str, method: str, seed: int) -> Path:
    """Where its prompts are."""
    return folder(dataset, method, seed) / PROMPTS


def describe(
    backbone: Backbone, preset: str, dataset: str, method: str, config: Config, augment: AugmentConfig
) -> dict[str, Any]:
    """What a run is made from; it goes into the metadata of the prompts, and evaluation builds the method from it."""
    made_from = {"preset": preset, "backbone": backbone.name, "weights": backbone.weights}
    made_from |= {"precision": backbone.precision, "dataset": dataset, "method": method}
    return made_from | {"config": config.model_dump(), "augment": augment.model_dump()}


def checkpoint(made_from: Mapping[str, Any], seed: int, seconds: float) -> Checkpoint:
    """Where a run's state is kept: it depends on config and inputs."""
    dataset, method = made_from["dataset"], made_from["method"]
    inputs = [fewshot.file(dataset, seed), teacher_cache.file(dataset, None), teacher_cache.file(dataset, seed)]
    return open_checkpoint(f"train/{dataset}-{method}-{seed}", seconds, made_from, *inputs)


def read_task(backbone: Backbone, dataset: str, seed: int) -> FewShotTask:
    """The sampled dataset, as methods see it."""
    described = fewshot.describe(dataset)
    classes = {name: value.to(backbone.device) for name, value in teacher_cache.read(dataset, None, backbone).items()}
    return FewShotTask(backbone, described.template, described.classes, classes["features"], seed, classes["zero_shot"])


def read_loaders(
    backbone: Backbone, source: Dataset, seed: int, optimizer: SGDConfig | AdamWConfig | None, augment: AugmentConfig
) -> dict[str, FewShotLoader]:
    """The training and the validation images of a seed, with the teacher's features of their views.

    optimizer: says how many images are a batch; None for a method that takes them as a whole.
    """
    features, loaders, offset = teacher_cache.read(source.name, seed, backbone), {}, 0
    for split in fewshot.SEEDED:
        samples = fewshot.read(source.name, seed, split)
        loaders[split] = FewShotLoader(
            images=[to_tensor(source.image(sample.path)) for sample in samples],
            labels=torch.tensor([sample.label for sample in samples]),
            view_features=features[f"{split}.views"],
            eval_features=features[f"{split}.frozen"],
            normalise=backbone.normalise,
            seed=seed,
            batch_size=optimizer.batch_size if optimizer else 1,
            drop_last=optimizer is None or optimizer.drop_last,
            image_size=backbone.image_size,
            index_offset=offset,
            device=backbone.device,
            **augment.model_dump(),
        )
        offset += len(samples)
    return loaders


def write(path: Path, result: FitResult, made_from: Mapping[str, Any]) -> None:
    """The folder of one seed: prompts, lengths, history, trace and cost."""
    path.mkdir()
    formats.write_tensors(path / PROMPTS, result.tensors, made_from)
    log = result.log
    columns = {**COLUMNS, "history.csv": list(log.history[0]) if log.history else COLUMNS["history.csv"]}
    for name, rows in (("lengths.csv", result.lengths), ("history.csv", log.history), ("trace.csv", log.trace)):
        formats.write_csv(path / name, columns[name], rows)
    cost = {"steps": log.steps, "seconds": round(log.seconds, 3), "memory_mb": round(result.memory / 1e6, 1)}
    cost |= {"step_gflop": round(result.flops / 1e9, 4)} if result.flops else {}
    cost |= {"budget": result.budget} if result.budget is not None else {}
    formats.write_json(path / "cost.json", cost)
