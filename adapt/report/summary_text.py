"""Sentences on where `adapt` leads and where it does not, computed from the runs."""

import numpy as np

from adapt.report import aggregate
from adapt.report.aggregate import ADAPT, ZERO_SHOT
from adapt.report.load import Runs


def accuracy(runs: Runs) -> list[str]:
    """Compare `adapt` with each baseline, and with zero-shot CLIP on each dataset.

    Differences are in points, ± the standard error over seeds, paired by seed.
    """
    if ADAPT not in runs.methods or len(runs.methods) < 2:
        return [f"`{ADAPT}` is not compared here: `methods` names {', '.join(runs.methods)}."]
    table = aggregate.accuracy(runs)
    lines = [
        f"On the average `{ADAPT}` is {verdict(*aggregate.gap(table, baseline), baseline)}."
        for baseline in runs.methods
        if baseline != ADAPT
    ]
    if ZERO_SHOT in runs.methods:
        gaps = {dataset: aggregate.gap(table, ZERO_SHOT, dataset) for dataset in runs.datasets}
        known = {dataset: (d, e) for dataset, (d, e) in gaps.items() if not np.isnan(d)}
        won = sum(difference > 0 for difference, _ in known.values())
        each = ", ".join(f"{dataset} {100 * d:+.2f}{plus_minus(e)}" for dataset, (d, e) in known.items())
        lines += (
            [f"`{ADAPT}` is ahead of `{ZERO_SHOT}` on {won} of {pluralize(len(known), 'dataset')}: {each}."]
            if known
            else []
        )
    return lines


def verdict(difference: float, error: float, baseline: str) -> str:
    """Return by how much `adapt` is ahead, as the end of a sentence."""
    if np.isnan(difference):
        return f"not compared with `{baseline}`: runs are missing"
    shown = f"{abs(100 * difference):.2f}"
    if shown == "0.00":
        return f"level with `{baseline}`"
    where = "ahead of" if difference > 0 else "**behind**"
    doubt = " (within two standard errors)" if abs(difference) < 2 * error else ""
    return f"{where} `{baseline}` by {shown}{plus_minus(error)}{doubt}"


def plus_minus(error: float) -> str:
    """Format the standard error that follows a difference, in percent.

    Empty for one seed, which has no standard error.
    """
    return "" if np.isnan(error) else f" ± {100 * error:.2f}"


def pluralize(count: int, thing: str) -> str:
    """Return a count and its noun."""
    return f"{count} {thing}{'s' * (count != 1)}"
