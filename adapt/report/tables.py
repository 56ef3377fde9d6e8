"""The accuracy table: one row per run, its summary, the Markdown with an honest reading, and the metrics."""

from typing import Any

import numpy as np
import pandas as pd

from adapt.report.runs import Runs

AVERAGE = "average"
OURS = "adapt"
FLOOR = "zero_shot"


def accuracy(runs: Runs) -> pd.DataFrame:
    """One row per run: `preset, dataset, method, seed, shots, accuracy, tokens`; accuracy is a fraction."""
    table = runs.results.assign(preset=runs.preset)
    return table[["preset", "dataset", "method", "seed", "shots", "accuracy", "tokens"]]


def with_average(table: pd.DataFrame) -> pd.DataFrame:
    """`dataset, method, seed, accuracy` with rows of a last dataset, `average`: each seed's mean over the datasets."""
    average = table.groupby(["method", "seed"], sort=False)["accuracy"].mean().reset_index().assign(dataset=AVERAGE)
    columns = ["dataset", "method", "seed", "accuracy"]
    return pd.concat([table[columns], average[columns]], ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Per dataset, `average` last, and method: mean and sample standard deviation over the seeds, and their number."""
    groups = with_average(table).groupby(["dataset", "method"], sort=False)["accuracy"]
    return groups.agg(accuracy="mean", std="std", seeds="count").reset_index()


def gap(table: pd.DataFrame, rival: str, dataset: str = AVERAGE) -> tuple[float, float]:
    """By how much `adapt` leads the rival, and the standard error of that over seeds (NaN for one), as fractions.

    The difference is taken seed by seed: both methods saw the same images under a seed.
    """
    rows = with_average(table).query("dataset == @dataset").pivot(index="seed", columns="method", values="accuracy")
    difference = rows[OURS] - rows[rival]
    return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))


def metrics(runs: Runs) -> dict[str, Any]:
    """What `dvc metrics show` prints: mean accuracy (fraction) by dataset and method, mean tokens by method."""
    table = accuracy(runs)
    means = summary(table).pivot(index="dataset", columns="method", values="accuracy")
    tokens = table.groupby("method", sort=False)["tokens"].mean()
    return {
        "preset": runs.preset,
        "backbone": runs.backbone,
        "weights": runs.weights[:10],
        "split": runs.split,
        "shots": runs.shots,
        "seeds": len(runs.seeds),
        "accuracy": {
            dataset: {method: round(float(means[method][dataset]), 6) for method in runs.methods}
            for dataset in [AVERAGE, *runs.datasets]
        },
        "tokens": {method: round(float(tokens[method]), 2) for method in runs.methods},
    }


def markdown(runs: Runs) -> str:
    """The table in percent, mean ± standard deviation over seeds, between what it was made with and how to read it."""
    table = accuracy(runs)
    means = summary(table)
    lines = ["# Accuracy", "", runs.stamp[0].upper() + runs.stamp[1:] + ".", ""]
    lines += [f"> **{warning[0].upper()}{warning[1:]}.**\n" for warning in runs.warnings]
    lines.append(_row(["dataset", *(f"`{method}`" for method in runs.methods)]))
    lines.append(_row(["---", *["---:"] * len(runs.methods)]))
    for dataset in [*runs.datasets, AVERAGE]:
        cells = _cells(means[means["dataset"] == dataset])
        lines.append(_row([f"**{AVERAGE}**" if dataset == AVERAGE else dataset, *cells]))
    tokens = table.groupby("method")["tokens"].mean()
    one = "" if len(runs.seeds) > 1 else " (– with one seed)"
    lines.append(_row(["*tokens*", *(f"{tokens[method]:.4g}" for method in runs.methods)]))
    lines += ["", f"Top-1 in percent, mean ± standard deviation over seeds{one}; the best of a row in bold.", ""]
    return "\n".join([*lines, *reading(runs)]) + "\n"


def reading(runs: Runs) -> list[str]:
    """Sentences on where `adapt` is ahead and where it is not, computed from the table."""
    if OURS not in runs.methods or len(runs.methods) < 2:
        return [f"`{OURS}` is not compared here: `methods` names {', '.join(runs.methods)}."]
    table = accuracy(runs)
    lines = ["Differences in points, ± the standard error over seeds, paired by seed:", ""]
    for rival in (method for method in runs.methods if method != OURS):
        lines.append(f"- On the average `{OURS}` is {_verdict(*gap(table, rival), rival)}.")
    if FLOOR in runs.methods:
        gaps = {dataset: gap(table, FLOOR, dataset) for dataset in runs.datasets}
        won = sum(difference > 0 for difference, _ in gaps.values())
        each = ", ".join(f"{dataset} {100 * d:+.2f} ± {_points(e)}" for dataset, (d, e) in gaps.items())
        of = f"{won} of {len(gaps)} dataset{'s' * (len(gaps) > 1)}"
        lines.append(f"- `{OURS}` is ahead of `{FLOOR}` on {of}: {each}.")
    return lines


def _verdict(difference: float, error: float, rival: str) -> str:
    points = f"{abs(100 * difference):.2f}"
    if points == "0.00":
        return f"level with `{rival}`"
    where = "ahead of" if difference > 0 else "**behind**"
    doubt = " (within two standard errors)" if abs(difference) < 2 * error else ""
    return f"{where} `{rival}` by {points} ± {_points(error)}{doubt}"


def _points(fraction: float) -> str:
    return "–" if np.isnan(fraction) else f"{100 * fraction:.2f}"


def _cells(means: pd.DataFrame) -> list[str]:
    shown = [_points(value) for value in means["accuracy"]]
    best = max(shown, key=float)
    spreads = [_points(value) for value in means["std"]]
    return [f"**{s} ± {e}**" if s == best else f"{s} ± {e}" for s, e in zip(shown, spreads, strict=True)]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
