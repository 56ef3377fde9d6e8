"""The figures of the gathered studies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, ScalarFormatter

from adapt.report import plots, studies, style
from adapt.report.aggregate import ADAPT
from adapt.report.studies import StudyResult

PRUNED, WHOLE = "with pruning", "without"
LOG_FROM = 16  # ratio of the greatest to the smallest value from which an axis is logarithmic


class Spec(NamedTuple):
    """A figure of a study: its title, a caption on how it was made, and its function."""

    title: str
    caption: str
    draw: Callable[[Any], Figure]


def lines(gathered: StudyResult) -> Figure:
    """Draw the average accuracy along a numeric axis.

    There is a line per method and per value of the grid's other keys.
    """
    table = studies.curve(gathered)
    names = list(dict.fromkeys(table["series"]))
    with style.new_figure(gathered, gathered.declared.title, 9, 4.6 + 0.1 * max(0, len(names) - 10)) as figure:
        axes = figure.subplots()
        plots.lines(axes, table, names, "series", x="x", y="accuracy")
        values = sorted(table["x"].unique())
        if values[0] > 0 and values[-1] / values[0] >= LOG_FROM:
            axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel=gathered.axis, ylabel=f"average top-1, {gathered.split}")
        figure.legend(loc="outside right upper", fontsize=9)
    return figure


def dots(gathered: StudyResult) -> Figure:
    """Draw the average accuracy at each value of an axis of names.

    There is a marker per method.
    """
    table = studies.curve(gathered).astype({"x": str})
    values, names = list(dict.fromkeys(table["x"])), list(dict.fromkeys(table["series"]))
    height = 1.9 + len(values) * max(0.5, 0.3 * len(names))
    with style.new_figure(gathered, gathered.declared.title, 8, height) as figure:
        axes = figure.subplots()
        plots.dots(axes, table, values, names)
        axes.set(xlabel=f"average top-1, {gathered.split}", ylabel=gathered.axis)
        if len(names) > 1:
            figure.legend(loc="outside right upper", fontsize=9)
    return figure


def pruning(gathered: StudyResult) -> Figure:
    """Draw average accuracy and step time with pruning and without.

    With pruning means the params' budget, without means all tokens of the start.
    """
    table = pruned_and_whole(gathered)
    with style.new_figure(gathered, "With and without pruning", 9, 3) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        plots.dots(left, table, list(table["x"]), [ADAPT])
        left.set_xlabel(f"average top-1, {gathered.split}")
        places = np.arange(len(table))
        right.barh(places, table["step_ms"], 0.5, color=[style.STRONG, style.WEAK][: len(table)])
        for place, value in zip(places, table["step_ms"], strict=True):
            if np.isfinite(value):
                right.annotate(f"{value:.1f}", (value, place), (3, 0), textcoords="offset points", va="center",
                               fontsize=8)  # fmt: skip
        right.margins(x=0.15)
        right.tick_params(axis="y", length=0)
        right.set_xlabel("ms per training step")
    return figure


def pruned_and_whole(gathered: StudyResult) -> pd.DataFrame:
    """Return two rows of the budget study's curve for `adapt`.

    The first is at the params' own budget, the second without pruning, with all tokens of the start.
    """
    ours = studies.curve(gathered).query("method == @ADAPT").set_index("x")
    found = ours.reindex([gathered.own, max(gathered.runs[gathered.axis])]).reset_index(names="tokens_asked")
    names = [f"{name}, {tokens} tokens" for name, tokens in zip((PRUNED, WHOLE), found["tokens_asked"], strict=True)]
    return found.assign(x=names, series=ADAPT)


def by_name(found: dict[str, StudyResult]) -> dict[str, tuple[Spec, Any]]:
    """Return the figures that can be drawn.

    There is one per study with more than one value on its axis, and a second one of the budget study.
    """
    how = "Average over the datasets, mean over seeds; bands and lines span one standard deviation to each side."
    figures: dict[str, tuple[Spec, Any]] = {}
    for name, gathered in found.items():
        if gathered.runs[gathered.axis].nunique() == 1:  # its table is enough
            continue
        caption = f"{how} Made by {command(gathered)}."
        figures[name] = (Spec(gathered.declared.title, caption, lines if gathered.numeric else dots), gathered)
    if "budget" in found and len(set(pruned_and_whole(found["budget"])["tokens_asked"])) == 2:
        caption = (
            "adapt with the budget of the params, and without pruning, with all tokens of the start. Accuracy as in "
            "the figure of the token budget; time per step is the mean over each whole training, and over all runs. "
            f"Made by {command(found['budget'])}."
        )
        figures["pruning"] = (Spec("With and without pruning", caption, pruning), found["budget"])
    return figures


def command(gathered: StudyResult) -> str:
    """Return the command that made a study, its commit and its duration."""
    seconds = [entry["seconds"] for entry in gathered.record["experiments"] if entry["seconds"] is not None]
    took = f", {sum(seconds) / 60:.0f} minutes" if seconds else ""
    return f"`{gathered.record['command']}` at commit {gathered.record['commit'][:10]}{took}"
