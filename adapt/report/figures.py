"""The figures of the pipeline's runs; each function returns a matplotlib figure and writes nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase

from adapt.report import aggregate, per_class, plot_data, plots, style
from adapt.report.load import Runs

WIDE = 12  # inches: at the 1180 pixels of the page, type of 10 points is 14 pixels high
NAMED_UP_TO = 6  # datasets that have room for a legend in the overview; the figure `tokens` names all
CELLS_UP_TO = 30  # classes whose shares can be written into a confusion matrix


class Spec(NamedTuple):
    """A figure: its title, how its numbers were made, and what draws it."""

    title: str
    caption: str
    draw: Callable[[Runs], Figure]


def accuracy(runs: Runs) -> Figure:
    """A panel per dataset and for the average; a bar per method, one standard deviation over seeds to each side."""
    columns = 3 if len(runs.datasets) <= 5 else 4
    rows = -(-(len(runs.datasets) + 1) // columns)
    with style.new_figure(runs, "Accuracy", WIDE, 1.3 + rows * (0.75 + 0.2 * len(runs.methods))) as figure:
        draw_accuracy(figure, runs, columns)
    return figure


def gain(runs: Runs) -> Figure:
    """Bars: by how much `adapt` leads the best baseline of each dataset."""
    table = plot_data.gain(runs)
    with style.new_figure(runs, "Gain over the best baseline", 8.5, 2 + 0.36 * max(2, len(table))) as figure:
        if not len(table) or not table["baseline"].any():
            style.say_empty(figure, "nothing to compare: adapt or its baselines have no whole set of runs")
            return figure
        axes = figure.subplots()
        labels = [f"{row.dataset} (over {row.baseline or 'none'})" for row in table.itertuples()]
        plots.signed_bars(axes, labels, table["gain"], table["low"], table["high"])
        axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.axhline(len(table) - 1.5, color="#bbbbbb", lw=1)
        axes.set_xlabel(f"points of top-1 accuracy, {runs.split}")
    return figure


def lengths(runs: Runs) -> Figure:
    """Heat maps, one per dataset and their mean (and method, where several remove tokens): branches by layers."""
    table = plot_data.lengths(runs)
    names = _names(table, runs)
    layers = table["layer"].nunique()
    columns = min(3 if layers <= 8 else 2, max(1, len(names)))
    rows = -(-max(1, len(names)) // columns)
    with style.new_figure(
        runs, "Learned length per layer and branch", np.clip(4.2 * columns, 7, WIDE), 1.5 + 1.45 * rows
    ) as figure:
        if not names:
            style.say_empty(figure, "no method here removes tokens")
            return figure
        grid = style.panels(figure, list(names), columns)
        for axes, (_, part) in zip(grid, names.items(), strict=True):
            plots.heat(
                axes,
                part.pivot(index="branch", columns="layer", values="length").loc[plot_data.BRANCHES],
                table["length"].max(),
            )
            axes.set_xlabel("layer")
        _bar(figure, grid, table["length"].max(), "tokens, mean over seeds")
    return figure


def tokens(runs: Runs) -> Figure:
    """Tokens left over training: in all, in the text and in the image branch; a line per dataset, a row per method."""
    methods = runs.pruned
    with style.new_figure(runs, "Tokens left over training", WIDE, 1.6 + 2.9 * max(1, len(methods))) as figure:
        if not methods:
            style.say_empty(figure, "no method here removes tokens")
            return figure
        table = plot_data.tokens(runs)
        branches = {"both": "both branches", "text": "text branch", "image": "image branch"}
        grid = style.panels(
            figure, [f"{name} ({method})" for method in methods for name in branches.values()], 3, sharey=True
        )
        for at, axes in enumerate(grid):
            method, branch = methods[at // 3], list(branches)[at % 3]
            draw_tokens(axes, runs, table[(table["method"] == method) & (table["branch"] == branch)])
        _legend(figure, grid)
    return figure


def loss(runs: Runs) -> Figure:
    """Training loss per epoch, a panel per dataset, a line per trained method; the band spans the seeds."""
    table = plot_data.loss(runs)
    columns = min(3, len(runs.datasets))
    rows = -(-len(runs.datasets) // columns)
    with style.new_figure(runs, "Training loss", max(7.0, 4 * columns), 1.6 + 2.6 * rows) as figure:
        grid = style.panels(figure, runs.datasets, columns)
        for axes, dataset in zip(grid, runs.datasets, strict=True):
            plots.lines(axes, table[table["dataset"] == dataset], runs.methods, "method", x="epoch", y="loss")
            plots.label(axes, "epoch", "loss")
        _legend(figure, grid)
    return figure


def by_class(runs: Runs) -> Figure:
    """For one dataset: the confusion matrix of `adapt`, and each class's gain over the best baseline there."""
    found = per_class.read(runs)
    size = len(found.names) if found else 0
    with style.new_figure(
        runs, f"Class by class: {found.dataset}" if found else "", WIDE, np.clip(2 + 0.4 * size, 4, 12)
    ) as figure:
        if not found:
            style.say_empty(figure, "nothing to compare: adapt or its baselines have no whole set of runs")
            return figure
        left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
        left.set_title(f"Confusion of {aggregate.ADAPT}: share of a class's images")
        shares = pd.DataFrame(found.confusion, index=found.names, columns=found.names)
        plots.heat(left, shares, 1, ".2f", 7 if size <= CELLS_UP_TO else 0)
        left.set(xlabel="predicted class", ylabel="true class")
        left.tick_params(axis="x", rotation=90 if size > 12 or max(map(len, found.names)) > 6 else 0)
        right.set_title(f"Gain of {aggregate.ADAPT} over {found.baseline}")
        plots.signed_bars(right, found.names, *[pd.Series(found.gain)] * 3)
        right.set_xlabel("points of the class's accuracy")
    return figure


def overview(runs: Runs) -> Figure:
    """For the README: accuracy by dataset; below it, where the tokens stayed and how they went."""
    if not runs.pruned:
        return accuracy(runs)
    focus = aggregate.ADAPT if aggregate.ADAPT in runs.pruned else runs.pruned[0]
    table = plot_data.lengths(runs).query("method == @focus and dataset != @aggregate.AVERAGE")
    left = plot_data.tokens(runs).query("method == @focus and branch == 'both'")
    rows = -(-(len(runs.datasets) + 1) // 6)
    upper, lower = 0.2 + rows * (0.75 + 0.2 * len(runs.methods)), 1.5 + 0.25 * len(runs.datasets)
    with style.new_figure(runs, "", WIDE, 0.6 + upper + lower) as figure:
        parts: Any = figure.subfigures(2, 1, height_ratios=[upper, lower])
        draw_accuracy(parts[0], runs, 6)
        grid = parts[1].subplots(1, 3)
        for axes, branch in zip(grid, plot_data.BRANCHES, strict=False):
            axes.set_title(f"Length learned by {focus}, {branch} branch")
            part = table[table["branch"] == branch].pivot(index="dataset", columns="layer", values="length")
            plots.heat(axes, part.reindex(runs.datasets), table["length"].max())
            axes.set_xlabel("layer")
        grid[1].tick_params(labelleft=False)
        grid[2].set_title("Tokens left over training")
        draw_tokens(grid[2], runs, left)
        if len(runs.datasets) <= NAMED_UP_TO:
            grid[2].legend(fontsize=8, loc="lower left")  # where the lines, which go down, leave room
    return figure


FIGURES = {
    "accuracy": Spec(
        "Accuracy", "Top-1, mean over seeds; the line spans one standard deviation to each side.", accuracy
    ),
    "gain": Spec(
        "Gain over the best baseline",
        "adapt minus the other method that is best on that dataset. That one is chosen by the same test accuracy, "
        "which is in its favour. Mean over seeds; the line spans one standard error to each side, paired by seed.",
        gain,
    ),
    "lengths": Spec(
        "Learned lengths", "Tokens that pruning left at each layer, mean over seeds; average: over datasets.", lengths
    ),
    "tokens": Spec("Tokens left over training", "Mean over seeds; the band spans them.", tokens),
    "loss": Spec("Training loss", "Mean over an epoch's steps and over seeds; the band spans the seeds.", loss),
    "classes": Spec(
        "Class by class",
        "For the dataset of the fewest classes, predictions of all seeds together; the baseline is the best one there.",
        by_class,
    ),
    "overview": Spec("Overview", "Accuracy, learned lengths and tokens left, for the README.", overview),
}


def draw_accuracy(figure: FigureBase, runs: Runs, columns: int) -> None:
    """The panels of accuracy, the average last."""
    table = plot_data.accuracy(runs)
    groups = [*runs.datasets, aggregate.AVERAGE]
    for axes, dataset in zip(style.panels(figure, groups, columns, sharex=True, sharey=True), groups, strict=True):
        plots.named_bars(axes, table[table["dataset"] == dataset].set_index("method"), runs.methods)
        if dataset == aggregate.AVERAGE:
            axes.title.set_fontweight("bold")
        for name in axes.get_yticklabels():
            name.set_fontweight("bold" if name.get_text() == aggregate.ADAPT else "normal")


def draw_tokens(axes: Axes, runs: Runs, table: pd.DataFrame) -> None:
    """Stairs down, a line per dataset."""
    plots.lines(axes, table, runs.datasets, "dataset", x="epoch", y="tokens", steps="post")
    axes.set_ylim(bottom=0)
    plots.label(axes, "epoch", "tokens")


def _names(table: pd.DataFrame, runs: Runs) -> dict[str, pd.DataFrame]:
    """The parts of a table by dataset, and by method too where there are several."""
    titles = table["dataset"] if len(runs.pruned) == 1 else table["dataset"] + ", " + table["method"]
    return {str(title): part for title, part in table.groupby(titles, sort=False)}


def _bar(figure: Figure, grid: list[Axes], top: float, label: str) -> None:
    figure.colorbar(ScalarMappable(Normalize(0, top), plots.HEAT), ax=grid, label=label, fraction=0.03, pad=0.01)


def _legend(figure: Figure, grid: list[Axes]) -> None:
    found = {name: line for axes in grid for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(list(found.values()), list(found), loc="outside right upper", fontsize=9)
