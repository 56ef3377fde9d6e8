"""Complete runs: runs/<dataset>/<method>/seed_<s>/ holds all that one seed of a method gave."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapt.data.dataset import Sample
from adapt.pipeline import train
from adapt.runtime import files

ROOT = Path("runs")
LEVEL = 0.01  # how often guessing may pass for more


def accuracy(predicted: list[int], items: list[Sample]) -> float:
    """Top-1: the share of images whose most likely class is theirs."""
    return sum(guess == item.label for guess, item in zip(predicted, items, strict=True)) / len(items)


def at_chance(right: int, items: list[Sample]) -> bool:
    """Whether so many right are no more than guessing gives: always the most frequent class (ours).

    By a one-sided binomial test at LEVEL; a method that has been tuned and is not better has learned nothing.
    """
    from scipy.special import bdtrc  # scipy.stats has a test of that name, and takes a second to import

    guessing = max(Counter(item.label for item in items).values()) / len(items)
    return bool(bdtrc(right - 1, len(items), guessing) > LEVEL)


def write(
    dataset: str,
    method: str,
    splits: Mapping[int, list[Sample]],
    predicted: Mapping[int, tuple[list[int], int]],
    facts: Mapping[str, Any],
) -> list[float]:
    """Write the run folder of every seed; returns the accuracies.

    It is `train`'s folder (a few kilobytes, which DVC's cache holds once) and metrics.json and predictions.csv, so that
    a run is whole in one place: two stages cannot write into one folder.
    predicted: by seed the classes and the number of trainable parameters.
    """
    scores = []
    with files.atomic_dir(ROOT / dataset / method) as path:
        for seed, (classes, trainable) in predicted.items():
            run = path / f"seed_{seed}"
            run.mkdir()
            for file in sorted(train.folder(dataset, method, seed).iterdir()):
                shutil.copy(file, run)
            items = splits[seed]
            rows = [
                {"path": item.path, "label": item.label, "prediction": guess}
                for item, guess in zip(items, classes, strict=True)
            ]
            files.write_csv(run / "predictions.csv", ("path", "label", "prediction"), rows)
            lengths = files.read_csv(run / "lengths.csv", f"dvc repro -f train@{dataset}-{method}")
            scores.append(accuracy(classes, items))
            counts = {
                "images": len(items),
                "tokens": sum(int(row["length"]) for row in lengths),
                "trainable": trainable,
                "at_chance": at_chance(round(scores[-1] * len(items)), items),
            }
            files.write_json(run / "metrics.json", {**facts, "seed": seed, "accuracy": scores[-1], **counts})
    return scores
