"""The numbers in the tables, as data frames.

adapt/report/tables.py formats them.
"""

from typing import Any

import numpy as np
import pandas as pd

from adapt.report.load import Runs

AVERAGE = "average"
ADAPT = "adapt"
ZERO_SHOT = "zero_shot"
COSTS = ["trainable", "tokens", "steps", "seconds", "step_ms", "step_gflop", "memory_mb"]


def accuracy(runs: Runs) -> pd.DataFrame:
    """Return the accuracy of every run that params name, one row per run.

    The columns are `preset, dataset, method, seed, shots, accuracy, tokens`. Accuracy is a fraction. A missing run has
    neither accuracy nor tokens.
    """
    table = _all_asked(runs).assign(preset=runs.preset, shots=runs.shots)
    return table[["preset", "dataset", "method", "seed", "shots", "accuracy", "tokens"]]


def cost(runs: Runs) -> pd.DataFrame:
    """Return the costs of every run that params name, one row per run.

    The columns are `dataset, method, seed`, those in COSTS, and `budget`, the number of tokens that the method was
    asked to end with. A cell is empty where the run has no such value.
    """
    table = _all_asked(runs).astype({"budget": "Int64"})
    steps = table["steps"].where(table["steps"] > 0).astype(float)
    return table.assign(step_ms=1000 * table["seconds"] / steps)[["dataset", "method", "seed", *COSTS, "budget"]]


def with_average(table: pd.DataFrame) -> pd.DataFrame:
    """Append each seed's mean over the datasets as a last dataset, `average`.

    The columns are `dataset, method, seed, accuracy`. The average is NaN if a dataset is missing, since averages over
    different datasets cannot be compared.
    """
    average = table.groupby(["method", "seed"], sort=False)["accuracy"].mean(skipna=False).reset_index()
    columns = ["dataset", "method", "seed", "accuracy"]
    return pd.concat([table[columns], average.assign(dataset=AVERAGE)[columns]], ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and number of seeds per dataset and method.

    The dataset `average` is last. The standard deviation is the sample standard deviation over the seeds. It and the
    mean are NaN if a seed is missing: over fewer seeds they would be other quantities. `seeds` counts the seeds that
    were found.
    """
    groups = with_average(table).groupby(["dataset", "method"], sort=False)["accuracy"]
    found = groups.agg(seeds="count").assign(accuracy=groups.mean(skipna=False), std=groups.std(skipna=False))
    return found.reset_index()[["dataset", "method", "accuracy", "std", "seeds"]]


def ranks(table: pd.DataFrame) -> pd.Series:
    """Return each method's rank by mean accuracy, averaged over the datasets.

    Rank 1 is best, and ties share the mean rank. Only methods with all their runs are ranked, among each other; the
    others are NaN.
    """
    means = summary(table).query("dataset != @AVERAGE").pivot(index="method", columns="dataset", values="accuracy")
    whole = means.dropna()
    return whole.rank(ascending=False).mean(axis=1).reindex(means.index)


def gap(table: pd.DataFrame, baseline: str, dataset: str = AVERAGE) -> tuple[float, float]:
    """Return by how much `adapt` leads a baseline, and the standard error of that.

    Both are fractions. The difference is taken seed by seed, since under one seed both methods saw the same images. The
    standard error is over seeds: NaN for one seed. Both are NaN where a run is missing.
    """
    rows = with_average(table).query("dataset == @dataset").pivot(index="seed", columns="method", values="accuracy")
    difference = rows[ADAPT] - rows[baseline]
    error = difference.std(skipna=False) / np.sqrt(len(difference))
    return float(difference.mean(skipna=False)), float(error)


def best_baseline(table: pd.DataFrame, dataset: str = AVERAGE) -> str | None:
    """Return the best method other than `adapt` on a dataset.

    None if no baseline has all its runs.
    """
    means = summary(table).query("dataset == @dataset and method != @ADAPT").set_index("method")["accuracy"].dropna()
    return str(means.idxmax()) if len(means) else None


def metrics(runs: Runs) -> dict[str, Any]:
    """Return what `dvc metrics show` prints.

    Mean accuracy (a fraction) by dataset and method, and mean number of tokens by method; null where a run is missing.
    """
    means = summary(accuracy(runs)).pivot(index="dataset", columns="method", values="accuracy")
    tokens = accuracy(runs).groupby("method", sort=False)["tokens"].mean(skipna=False)
    return {
        "preset": runs.preset,
        "backbone": runs.backbone,
        "weights": runs.weights[:10],
        "split": runs.split,
        "shots": runs.shots,
        "seeds": len(runs.seeds),
        "missing": len(runs.missing),
        "accuracy": {
            dataset: {method: _json(means[method][dataset], 6) for method in runs.methods}
            for dataset in [AVERAGE, *runs.datasets]
        },
        "tokens": {method: _json(tokens[method], 2) for method in runs.methods},
    }


def _all_asked(runs: Runs) -> pd.DataFrame:
    """Return the results with one row for every run that params name."""
    names = ["dataset", "method", "seed"]
    asked = pd.MultiIndex.from_product([runs.datasets, runs.methods, runs.seeds], names=names)
    return runs.results.set_index(names).reindex(asked).reset_index().astype({"tokens": "Int64", "steps": "Int64"})


def _json(value: float, digits: int) -> float | None:
    return None if pd.isna(value) else round(float(value), digits)
