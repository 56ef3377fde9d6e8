"""The numbers behind every plot, in long form.

The same frames feed the PNG figures and, as CSV, the Vega templates.
"""

import numpy as np
import pandas as pd

from adapt.report import aggregate, per_class
from adapt.report.load import Runs

BRANCHES = ["text", "image"]


def accuracy(runs: Runs) -> pd.DataFrame:
    """Return the mean accuracy over seeds by dataset and method.

    The columns are `dataset, method, accuracy, std, seeds, low, high`; low and high are one standard deviation away.
    """
    means = aggregate.summary(aggregate.accuracy(runs))
    spread = means["std"].fillna(0)
    return means.assign(low=means["accuracy"] - spread, high=means["accuracy"] + spread)


def gain(runs: Runs) -> pd.DataFrame:
    """Return the lead of `adapt` over the best baseline by dataset, `average` last.

    The columns are `dataset, baseline, gain, low, high`, fractions. low and high are one standard error over seeds
    away, paired by seed. Where runs are missing, the numbers are NaN and the baseline is empty.
    """
    table, rows = aggregate.accuracy(runs), []
    for dataset in [*runs.datasets, aggregate.AVERAGE] if aggregate.ADAPT in runs.methods else []:
        baseline = aggregate.best_baseline(table, dataset)
        value, error = aggregate.gap(table, baseline, dataset) if baseline else (np.nan, np.nan)
        error = 0 if np.isnan(error) else error
        rows.append((dataset, baseline or "", value, value - error, value + error))
    return pd.DataFrame(rows, columns=pd.Index(["dataset", "baseline", "gain", "low", "high"]))


def lengths(runs: Runs) -> pd.DataFrame:
    """Return the learned lengths, mean over seeds, of the methods that removed tokens.

    The columns are `dataset, method, branch, layer, length`. If a method has all datasets, their mean follows as the
    dataset `average`. A dataset with a missing seed is left out.
    """
    table = runs.lengths[runs.lengths["method"].isin(runs.pruned)]
    keys = ["dataset", "method", "branch", "layer"]
    groups = table.groupby(keys, sort=False)["length"].agg(length="mean", seeds="count").reset_index()
    means = groups[groups["seeds"] == len(runs.seeds)][[*keys, "length"]]
    whole = means.groupby("method")["dataset"].nunique()
    rest = (
        means[means["method"].isin(whole[whole == len(runs.datasets)].index)] if len(runs.datasets) > 1 else means[:0]
    )
    average = rest.groupby(keys[1:], sort=False)["length"].mean().reset_index().assign(dataset=aggregate.AVERAGE)
    return pd.concat([means, average[[*keys, "length"]]], ignore_index=True) if len(average) else means


def tokens(runs: Runs) -> pd.DataFrame:
    """Return the tokens left after training steps: mean, least and most over seeds.

    The columns are `dataset, method, branch, step, epoch, tokens, low, high`. Branches are `text`, `image` and their
    sum, `both`. The steps are 0, those of a pruning, and the last one.
    """
    parts = []
    for (dataset, method), trace in runs.trace.groupby(["dataset", "method"], sort=False):
        results, kept = (
            table[(table["dataset"] == dataset) & (table["method"] == method)] for table in (runs.results, runs.lengths)
        )
        last = max(results["steps"].max(), trace["step"].max())
        steps = np.unique(np.concatenate([[0], trace["step"], [last]]))
        for branch, chosen in {"both": BRANCHES, "text": ["text"], "image": ["image"]}.items():
            left = np.stack([
                _left(_of(kept, seed, chosen)["length"].sum(), _of(trace, seed, chosen)["step"].to_numpy(), steps)
                for seed in results["seed"]
            ])  # fmt: skip
            parts.append(pd.DataFrame({
                "dataset": dataset, "method": method, "branch": branch,
                "step": steps, "epoch": steps * (results["epochs"].max() / last),
                "tokens": left.mean(0), "low": left.min(0), "high": left.max(0),
            }))  # fmt: skip
    columns = ["dataset", "method", "branch", "step", "epoch", "tokens", "low", "high"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def loss(runs: Runs) -> pd.DataFrame:
    """Return the training loss by epoch: mean, least and greatest over seeds.

    The columns are `dataset, method, epoch, loss, cross_entropy, low, high`.
    """
    groups = runs.history.groupby(["dataset", "method", "epoch"], sort=False)
    return groups.agg(
        loss=("loss", "mean"), cross_entropy=("cross_entropy", "mean"), low=("loss", "min"), high=("loss", "max")
    ).reset_index()


def by_name(runs: Runs) -> dict[str, pd.DataFrame]:
    """Return the data of every plot by name.

    Each row holds the settings it was made with (column `made`), so that a plot can show them.
    """
    by_class = per_class.read(runs)
    found = {
        "accuracy": accuracy(runs),
        "gain": gain(runs),
        "lengths": lengths(runs),
        "tokens": tokens(runs),
        "loss": loss(runs),
        "confusion": per_class.confusion(by_class),
        "classes": per_class.gain(by_class),
    }
    return {name: table.assign(made=runs.provenance_line) for name, table in found.items()}


def _of(table: pd.DataFrame, seed: int, branches: list[str]) -> pd.DataFrame:
    return table[(table["seed"] == seed) & table["branch"].isin(branches)]


def _left(kept: float, removed: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the number of tokens left after each of the steps.

    These are the tokens kept to the end, and those that a later step removed.
    """
    return kept + len(removed) - np.searchsorted(np.sort(removed), steps, side="right")
