"""The tables as a reader sees them: rounded, the best marked, and a word on how each number was made."""

import numpy as np
import pandas as pd

from adapt.report import aggregate, statistics, summary_text
from adapt.report.aggregate import ADAPT, AVERAGE
from adapt.report.formatting import NONE, Cell, Table, p_value, percent, rounded
from adapt.report.load import Runs

HEADINGS = {  # column of tables.cost: its heading, its format
    "trainable": ("trainable parameters", ",.0f"),
    "tokens": ("tokens", ".4g"),
    "steps": ("steps", ",.0f"),
    "seconds": ("seconds", ",.1f"),
    "step_ms": ("ms per step", ",.1f"),
    "step_gflop": ("GFLOP per step", ".3g"),
    "memory_mb": ("peak memory, MB", ",.0f"),
}


def accuracy(runs: Runs) -> Table:
    """Mean ± standard deviation over seeds by method and dataset, in percent, with the average and the mean rank."""
    table = aggregate.accuracy(runs)
    means, ranked = aggregate.summary(table).set_index(["method", "dataset"]), aggregate.ranks(table)
    columns = [*runs.datasets, AVERAGE]
    rows = [
        [
            Cell(method),
            *(percent(means["accuracy"][method, name], means["std"][method, name]) for name in columns),
            rounded(ranked[method], ".2f"),
        ]
        for method in runs.methods
    ]
    one = "" if len(runs.seeds) > 1 else f" ({NONE} with one seed)"
    caption = (
        f"Top-1 in percent, mean ± standard deviation over seeds{one}; the best of a column in bold. The average is "
        "each seed's mean over all datasets; the rank is by mean accuracy, averaged over the datasets. Below, "
        "differences are in points, ± the standard error over seeds, paired by seed."
    )
    shown = Table(
        "Accuracy",
        ["method", *columns, "mean rank"],
        rows,
        runs.provenance_line,
        runs.warnings,
        caption,
        summary_text.accuracy(runs),
    )
    return shown.with_best(dict.fromkeys(range(1, len(columns) + 1), True) | {len(columns) + 1: False})


def cost(runs: Runs) -> Table:
    """What a run costs, by method."""
    groups = aggregate.cost(runs).groupby("method", sort=False)
    means = groups[list(HEADINGS)].mean(skipna=False).astype(float)
    rows = [
        [Cell(method), *(rounded(means[name][method], form) for name, (_, form) in HEADINGS.items())]
        for method in runs.methods
    ]
    caption = (
        "Mean over datasets and seeds, of training alone; empty where a run is missing or did not measure it. "
        "Seconds depend on the machine and on what else it did. Tokens are those left at the end, over both branches; "
        "FLOPs are those of the last step, forward and backward, by count."
    )
    head = ["method", *(heading for heading, _ in HEADINGS.values())]
    return Table("Cost", head, rows, runs.provenance_line, runs.warnings, caption)


def significance(runs: Runs) -> Table:
    """Wilcoxon's signed-rank test of `adapt` against each baseline, and the interval of the average gain."""
    found = statistics.compare(aggregate.accuracy(runs), ADAPT)
    rows = [
        [
            Cell(row["baseline"]), Cell(f"{row['pairs']} ({row['nonzero']})"), rounded(100 * row["gain"], "+.2f"),
            Cell("" if np.isnan(row["low"]) else f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}"),
            rounded(row["effect"], "+.2f"), p_value(row["p"]), p_value(row["p_holm"]),
        ]
        for row in found.to_dict("records")
    ]  # fmt: skip
    caption = (
        "Two-sided signed-rank test over datasets × seeds, pairs that differ in brackets; effect is the matched-pairs "
        "rank-biserial correlation; Holm's correction is over the baselines. Gain in points: mean over datasets of the "
        f"means over seeds, with its 95 % bootstrap interval (BCa, {statistics.RESAMPLES} resamples of the "
        f"{len(runs.datasets)} datasets). Pairs of one dataset share its test images, so p is rather too small."
    )
    head = ["baseline", "pairs", "gain", "95 % interval", "effect", "p", "p (Holm)"]
    return Table("Significance", head, rows, runs.provenance_line, runs.warnings, caption, power(found))


def power(found: pd.DataFrame) -> list[str]:
    """A sentence on each way in which the tests are too small to show anything."""
    lines = []
    for pairs, part in found.groupby("nonzero"):
        least, names = statistics.smallest_p(int(str(pairs))), ", ".join(f"`{name}`" for name in part["baseline"])
        if least >= statistics.LEVEL:
            lines.append(f"Too few pairs against {names}: with {pairs} that differ, p cannot be below {least:.3g}.")
        elif least * len(found) >= statistics.LEVEL:
            lines.append(
                f"Too few pairs against {names} for {len(found)} tests: corrected, p may not get below "
                f"{statistics.LEVEL} even where all {pairs} pairs agree."
            )
    return lines
