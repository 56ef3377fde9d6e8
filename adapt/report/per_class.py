"""One dataset class by class: which classes are mistaken for which, and which gain over the best baseline."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from adapt.errors import UserError
from adapt.report import aggregate
from adapt.report.aggregate import ADAPT
from adapt.report.load import Runs
from adapt.runtime import formats

NAMES = Path("data/fewshot")


class PerClassResult(NamedTuple):
    """`confusion[i, j]`: the share of class i's images taken for class j; `gain` by class over the baseline."""

    dataset: str
    baseline: str
    names: list[str]
    confusion: np.ndarray
    gain: np.ndarray


def read(runs: Runs, names: Path = NAMES) -> PerClassResult | None:
    """Of the datasets where `adapt` and its best baseline have all runs that of the fewest classes; None without any.

    The choice does not look at the results, and few classes can be read in a figure.
    """
    table = aggregate.accuracy(runs)
    found = []
    for dataset in runs.datasets:
        whole = not table.query("dataset == @dataset and method == @ADAPT")["accuracy"].isna().any()
        baseline = aggregate.best_baseline(table, dataset)
        if ADAPT in runs.methods and baseline and whole:
            try:
                counts = {method: count(runs, dataset, method) for method in (ADAPT, baseline)}
            except UserError:  # runs without predictions: accuracies are there, classes are not
                continue
            size = max(len(matrix) for matrix in counts.values())
            found.append((size, dataset, baseline, counts))
    if not found:
        return None
    size, dataset, baseline, counts = min(found, key=lambda entry: entry[0])
    shares = {method: _shares(matrix, size) for method, matrix in counts.items()}
    gain = np.diag(shares[ADAPT]) - np.diag(shares[baseline])
    return PerClassResult(dataset, baseline, _names(names / dataset / "dataset.json", size), shares[ADAPT], gain)


def count(runs: Runs, dataset: str, method: str) -> np.ndarray:
    """How many images of class i were taken for class j, summed over the seeds."""
    parts = [
        formats.read_csv(
            runs.root / dataset / method / f"seed_{seed}" / "predictions.csv", f"dvc repro evaluate@{dataset}-{method}"
        )
        for seed in runs.seeds
    ]
    pairs = np.array([(int(row["label"]), int(row["prediction"])) for part in parts for row in part])
    counts = np.zeros((pairs.max() + 1,) * 2, dtype=int)
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    return counts


def confusion(found: PerClassResult | None) -> pd.DataFrame:
    """`dataset, truth, prediction, share` in long form."""
    columns = pd.Index(["dataset", "truth", "prediction", "share"])
    if found is None:
        return pd.DataFrame(columns=columns)
    cells = [
        (found.dataset, found.names[i], found.names[j], share) for (i, j), share in np.ndenumerate(found.confusion)
    ]
    return pd.DataFrame(cells, columns=columns)


def gain(found: PerClassResult | None) -> pd.DataFrame:
    """`dataset, class, baseline, gain`: of each class's accuracy over the best baseline's, a fraction."""
    columns = pd.Index(["dataset", "class", "baseline", "gain"])
    if found is None:
        return pd.DataFrame(columns=columns)
    rows = [(found.dataset, name, found.baseline, value) for name, value in zip(found.names, found.gain, strict=True)]
    return pd.DataFrame(rows, columns=columns)


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    padded = np.zeros((size, size))
    padded[: len(counts), : len(counts)] = counts
    return padded / np.maximum(padded.sum(axis=1, keepdims=True), 1)


def _names(path: Path, size: int) -> list[str]:
    """The names that `sample` wrote, or numbers where it did not run (a report may be made from runs alone)."""
    names = json.loads(path.read_text(encoding="utf-8"))["classes"] if path.exists() else []
    return [names[at] if at < len(names) else f"class {at}" for at in range(size)]
