"""Complete runs: runs/<dataset>/<method>/seed_<s>/.

Such a folder holds all results of one seed of a method.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapt.clip.backbone import Backbone
from adapt.data.dataset import Sample
from adapt.errors import UserError
from adapt.pipeline import fingerprints, method_configs, train
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.runtime import files, formats
from adapt.runtime.checkpoint import Checkpoint
from adapt.training import predict, run_folder

ROOT = Path("runs")


def checkpoint(backbone: Backbone, dataset: str, method: str, seed: int, seconds: float, *also: Any) -> Checkpoint:
    """Open the checkpoint of unfinished predictions.

    They depend on the backbone, the prompts, the images, and on `also`.
    """
    read = [
        backbone.weights,
        backbone.precision,
        fingerprints.file(dataset),
        train.prompts(dataset, method, seed),
        *also,
    ]
    return open_checkpoint(f"evaluate/{dataset}-{method}-{seed}", seconds, *read)


def score(
    backbone: Backbone,
    dataset: str,
    method: str,
    seed: int,
    images: predict.Images,
    *,
    batch_size: int,
    store: Checkpoint | None,
) -> tuple[list[int], int]:
    """Return a tuned method's predictions and its number of learned parameters.

    Raises: UserError for prompts that were made with another backbone, other weights or another version of the method.
    """
    path, made_by = train.prompts(dataset, method, seed), f"dvc repro -f train@{dataset}-{method}"
    tensors = formats.read_tensors(path, made_by, backbone=backbone.name, weights=backbone.weights)
    config = method_configs.restore(method, formats.read_made_from(path).get("config"))
    task = train.read_task(backbone, dataset, seed)
    try:
        return predict.score(method, task, config, tensors, images, batch_size=batch_size, store=store)
    except predict.TensorMismatch as error:
        raise UserError(
            f"{path} is not of this version of {method} ({error}); make it again with `{made_by}`"
        ) from None


def write(
    dataset: str,
    method: str,
    splits: Mapping[int, list[Sample]],
    predicted: Mapping[int, tuple[list[int], int]],
    facts: Mapping[str, Any],
) -> list[float]:
    """Write the run folder of every seed and return the accuracies.

    Each folder is a copy of `train`'s (a few kilobytes, which DVC's cache stores once) with metrics.json and
    predictions.csv. The copy puts all of a run in one place, since two stages cannot write into one folder.

    predicted: by seed, the predicted classes and the number of trainable parameters
    """
    scores = []
    with files.atomic_dir(ROOT / dataset / method) as path:
        for seed, (classes, trainable) in predicted.items():
            run = path / f"seed_{seed}"
            run.mkdir()
            for file in sorted(train.folder(dataset, method, seed).iterdir()):
                shutil.copy(file, run)
            lengths = formats.read_csv(run / "lengths.csv", f"dvc repro -f train@{dataset}-{method}")
            told = {**facts, "seed": seed}
            scores.append(run_folder.write_scores(run, splits[seed], classes, lengths, trainable, told))
    return scores
