"""The figures of the pipeline's runs.

Each function returns a matplotlib figure and writes nothing.
"""

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

WIDE = 12  # inches: on the page, 1180 pixels wide, 10-point type is then 14 pixels high
NAMED_UP_TO = 6  # datasets: with more, the overview has no room for a legend; the figure `tokens` always has one
CELLS_UP_TO = 30  # classes: with more, the cells of a confusion matrix are too small for numbers


class Spec(NamedTuple):
    """A figure: its title, a caption on how its numbers were made, and its function."""

    title: str
    caption: str
    draw: Callable[[Runs], Figure]


def accuracy(runs: Runs) -> Figure:
    """Draw bars of the accuracy, a panel per dataset and one for the average.

    There is a bar per method; a line spans one standard deviation over seeds to each side.
    """
    columns = 3 if len(runs.datasets) <= 5 else 4
    rows = -(-(len(runs.datasets) + 1) // columns)
    with style.new_figure(runs, "Accuracy", WIDE, 1.3 + rows * (0.75 + 0.2 * len(runs.methods))) as figure:
        draw_accuracy(figure, runs, columns)
    return figure


def gain(runs: Runs) -> Figure:
    """Draw bars of the lead of `adapt` over the best baseline of each dataset."""
    table = plot_data.gain(runs)
    with style.new_figure(runs, "Gain over the best baseline", 8.5, 2 + 0.36 * max(2, len(table))) as figure:
        if not len(table) or not table["baseline"].any():
            style.say_empty(figure, "nothing to compare: runs of adapt or of its baselines are missing")
            return figure
        axes = figure.subplots()
        labels = [f"{row.dataset} (over {row.baseline or 'none'})" for row in table.itertuples()]
        plots.signed_bars(axes, labels, table["gain"], table["low"], table["high"])
        axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.axhline(len(table) - 1.5, color="#bbbbbb", lw=1)
        axes.set_xlabel(f"points of top-1 accuracy, {runs.split}")
    return figure


def lengths(runs: Runs) -> Figure:
    """Draw heat maps of the learned lengths, branches by layers.

    There is one per dataset and one of their mean, each per method if several methods prune.
    """
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
    """Draw the tokens left over training, a row of panels per method.

    The panels show both branches together, the text branch and the image branch, with a line per dataset.
    """
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
    """Draw the training loss per epoch, a panel per dataset and a line per method.

    Only methods that are trained have a line. The band spans the seeds.
    """
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
    """Draw one dataset class by class: confusions and gains.

    The left panel is the confusion matrix of `adapt`, the right one each class's gain over the dataset's best baseline.
    """
    found = per_class.read(runs)
    size = len(found.names) if found else 0
    with style.new_figure(
        runs, f"Class by class: {found.dataset}" if found else "", WIDE, np.clip(2 + 0.4 * size, 4, 12)
    ) as figure:
        if not found:
            style.say_empty(figure, "nothing to compare: runs of adapt or of its baselines are missing")
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
    """Draw the figure of the README: accuracy, learned lengths and tokens left.

    The accuracy by dataset is above; the learned lengths and the tokens left over training are below. If no method
    prunes, there is only the accuracy.
    """
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
            grid[2].legend(fontsize=8, loc="lower left")  # the lines fall, so there is room
    return figure


FIGURES = {
    "accuracy": Spec(
        "Accuracy", "Top-1 accuracy, mean over seeds; the line spans one standard deviation to each side.", accuracy
    ),
    "gain": Spec(
        "Gain over the best baseline",
        "Accuracy of adapt minus that of the best other method on the dataset. The best method is chosen by the same "
        "test accuracy, which favours it. Mean over seeds, paired by seed; the line spans one standard error to each "
        "side.",
        gain,
    ),
    "lengths": Spec(
        "Learned lengths",
        "Tokens left at each layer after pruning, mean over seeds; `average` is the mean over the datasets.",
        lengths,
    ),
    "tokens": Spec(
        "Tokens left over training", "Mean over seeds; the band spans the lowest to the highest seed.", tokens
    ),
    "loss": Spec(
        "Training loss",
        "Mean over an epoch's steps and over seeds; the band spans the lowest to the highest seed.",
        loss,
    ),
    "classes": Spec(
        "Class by class",
        "The dataset with the fewest classes, predictions of all seeds pooled; the baseline is the best one on it.",
        by_class,
    ),
    "overview": Spec(
        "Overview", "Accuracy, learned lengths and tokens left over training; the figure of the README.", overview
    ),
}


def draw_accuracy(figure: FigureBase, runs: Runs, columns: int) -> None:
    """Draw the panels of accuracy, the average last."""
    table = plot_data.accuracy(runs)
    groups = [*runs.datasets, aggregate.AVERAGE]
    for axes, dataset in zip(style.panels(figure, groups, columns, sharex=True, sharey=True), groups, strict=True):
        plots.named_bars(axes, table[table["dataset"] == dataset].set_index("method"), runs.methods)
        if dataset == aggregate.AVERAGE:
            axes.title.set_fontweight("bold")
        for name in axes.get_yticklabels():
            name.set_fontweight("bold" if name.get_text() == aggregate.ADAPT else "normal")


def draw_tokens(axes: Axes, runs: Runs, table: pd.DataFrame) -> None:
    """Draw the tokens left over training as steps, one line per dataset."""
    plots.lines(axes, table, runs.datasets, "dataset", x="epoch", y="tokens", steps="post")
    axes.set_ylim(bottom=0)
    plots.label(axes, "epoch", "tokens")


def _names(table: pd.DataFrame, runs: Runs) -> dict[str, pd.DataFrame]:
    """Return the parts of a table by dataset, and by method if several methods prune."""
    titles = table["dataset"] if len(runs.pruned) == 1 else table["dataset"] + ", " + table["method"]
    return {str(title): part for title, part in table.groupby(titles, sort=False)}


def _bar(figure: Figure, grid: list[Axes], top: float, label: str) -> None:
    figure.colorbar(ScalarMappable(Normalize(0, top), plots.HEAT), ax=grid, label=label, fraction=0.03, pad=0.01)


def _legend(figure: Figure, grid: list[Axes]) -> None:
    found = {name: line for axes in grid for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(list(found.values()), list(found), loc="outside right upper", fontsize=9)
