"""One dataset class by class: confusions, and gains over the best baseline."""

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
    """The confusion matrix of `adapt` on one dataset, and the gain of each class.

    `confusion[i, j]` is the share of class i's images that were predicted as class j. `gain` is over the baseline.
    """

    dataset: str
    baseline: str
    names: list[str]
    confusion: np.ndarray
    gain: np.ndarray


def read(runs: Runs, names: Path = NAMES) -> PerClassResult | None:
    """Compare `adapt` with its best baseline class by class, on one dataset.

    It is the dataset with the fewest classes among those where both methods have all runs. This choice does not depend
    on the results, and a figure of few classes can be read.

    Returns:
        The comparison; None if there is no such dataset.
    """
    table = aggregate.accuracy(runs)
    found = []
    for dataset in runs.datasets:
        whole = not table.query("dataset == @dataset and method == @ADAPT")["accuracy"].isna().any()
        baseline = aggregate.best_baseline(table, dataset)
        if ADAPT in runs.methods and baseline and whole:
            try:
                counts = {method: count(runs, dataset, method) for method in (ADAPT, baseline)}
            except UserError:  # the runs have accuracies but no predictions
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
    """Count how many images of class i were predicted as class j, over all seeds."""
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
    """Return the confusion matrix in long form: `dataset, truth, prediction, share`."""
    columns = pd.Index(["dataset", "truth", "prediction", "share"])
    if found is None:
        return pd.DataFrame(columns=columns)
    cells = [
        (found.dataset, found.names[i], found.names[j], share) for (i, j), share in np.ndenumerate(found.confusion)
    ]
    return pd.DataFrame(cells, columns=columns)


def gain(found: PerClassResult | None) -> pd.DataFrame:
    """Return the gain of each class: `dataset, class, baseline, gain`.

    It is the class's accuracy minus that of the best baseline, a fraction.
    """
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
    """Return the class names that `sample` wrote, or numbers if it did not run.

    A report may be made from runs alone.
    """
    names = json.loads(path.read_text(encoding="utf-8"))["classes"] if path.exists() else []
    return [names[at] if at < len(names) else f"class {at}" for at in range(size)]
