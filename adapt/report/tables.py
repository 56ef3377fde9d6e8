"""The tables as a reader sees them: rounded, the best marked, with captions.

A caption tells how each number was made.
"""

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
    """Show the accuracy by method and dataset, with the average and the mean rank.

    It is in percent, mean ± standard deviation over seeds.
    """
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
        f"Top-1 accuracy in percent, mean ± standard deviation over seeds{one}; the best of each column is bold. The "
        "average is each seed's mean over all datasets; the rank is by mean accuracy, averaged over the datasets. "
        "Differences below are in points, ± the standard error over seeds, paired by seed."
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
    """Show the cost of a run, by method."""
    groups = aggregate.cost(runs).groupby("method", sort=False)
    means = groups[list(HEADINGS)].mean(skipna=False).astype(float)
    rows = [
        [Cell(method), *(rounded(means[name][method], form) for name, (_, form) in HEADINGS.items())]
        for method in runs.methods
    ]
    caption = (
        "Mean over datasets and seeds, for training alone; a cell is empty where a run is missing or did not measure "
        "the cost. Seconds depend on the machine and its load. Tokens are those left at the end, in both branches; "
        "FLOPs are counted for the last step, forward and backward."
    )
    head = ["method", *(heading for heading, _ in HEADINGS.values())]
    return Table("Cost", head, rows, runs.provenance_line, runs.warnings, caption)


def significance(runs: Runs) -> Table:
    """Show the signed-rank test of `adapt` against each baseline.

    With it, the average gain and its interval.
    """
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
        "Wilcoxon's two-sided signed-rank test over pairs (datasets × seeds); in brackets, the number of pairs that "
        "differ. The effect is the matched-pairs rank-biserial correlation; Holm's correction is over the baselines. "
        "The gain, in points, is the mean over datasets of the means over seeds, with its 95 % bootstrap interval "
        f"(BCa, {statistics.RESAMPLES} resamples of the {len(runs.datasets)} datasets). Pairs of one dataset share its "
        "test images, so p is, if anything, too small."
    )
    head = ["baseline", "pairs", "gain", "95 % interval", "effect", "p", "p (Holm)"]
    return Table("Significance", head, rows, runs.provenance_line, runs.warnings, caption, power(found))


def power(found: pd.DataFrame) -> list[str]:
    """Return a sentence for each way in which the tests have too few pairs."""
    lines = []
    for pairs, part in found.groupby("nonzero"):
        least, names = statistics.smallest_p(int(str(pairs))), ", ".join(f"`{name}`" for name in part["baseline"])
        if least >= statistics.LEVEL:
            lines.append(f"Too few pairs against {names}: with {pairs} that differ, p cannot be below {least:.3g}.")
        elif least * len(found) >= statistics.LEVEL:
            lines.append(
                f"Too few pairs against {names} for {len(found)} tests: the corrected p may not get below "
                f"{statistics.LEVEL} even if all {pairs} pairs agree."
            )
    return lines
