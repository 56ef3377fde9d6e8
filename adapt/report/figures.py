"""The figures, drawn from the series; each function returns a matplotlib figure and writes nothing."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from adapt.report import series, style, tables
from adapt.report.runs import Runs

HEAT = "YlGnBu"
VALUES_UP_TO = 5  # methods; with more, the numbers over the bars would overlap


def accuracy(runs: Runs) -> Figure:
    """Bars: a group per dataset and the average, a bar per method, one standard deviation over seeds."""
    width = np.clip(2 + 0.22 * (len(runs.datasets) + 1) * (len(runs.methods) + 1), 7, 14)
    with style.sheet(runs, "Accuracy", width, 4.6) as figure:
        draw_accuracy(figure.subplots(), runs, series.accuracy(runs))
    return figure


def lengths(runs: Runs) -> Figure:
    """Heat maps, one per dataset (and method, where several remove tokens): branches by layers."""
    table = series.lengths(runs)
    names = _names(table, runs)
    layers = table["layer"].nunique()
    columns = 3 if layers <= 8 else 2
    rows = -(-max(1, len(names)) // columns)
    width = np.clip(1.6 + 0.5 * layers * min(columns, max(1, len(names))), 7, 20)
    with style.sheet(runs, "Learned length per layer and branch", width, 1.5 + 1.45 * rows) as figure:
        top = table["length"].max() if len(table) else 1
        grid = style.panels(figure, list(names), columns)
        for axes, (_, part) in zip(grid, names.items(), strict=True):
            draw_heat(axes, part.pivot(index="branch", columns="layer", values="length").loc[series.BRANCHES], top)
        _bar(figure, grid, top)
    return figure


def tokens(runs: Runs) -> Figure:
    """Tokens left over training: in all, in the text and in the image branch; a line per dataset, a row per method."""
    methods = runs.pruned
    with style.sheet(runs, "Tokens left over training", 10, 1.6 + 2.9 * max(1, len(methods))) as figure:
        table = series.tokens(runs)
        titles = [f"{_called(branch)} ({method})" for method in methods for branch in ("both", *series.BRANCHES)]
        grid = style.panels(figure, titles, 3, sharey=True)
        for at, axes in enumerate(grid):
            method, branch = methods[at // 3], ("both", *series.BRANCHES)[at % 3]
            draw_tokens(axes, runs, table[(table["method"] == method) & (table["branch"] == branch)])
        _legend(figure, grid)
    return figure


def loss(runs: Runs) -> Figure:
    """Training loss per epoch, a panel per dataset, a line per trained method; the band spans the seeds."""
    table = series.loss(runs)
    columns = min(3, len(runs.datasets))
    rows = -(-len(runs.datasets) // columns)
    with style.sheet(runs, "Training loss", max(7, 3.4 * columns), 1.6 + 2.3 * rows) as figure:
        grid = style.panels(figure, runs.datasets, columns)
        for axes, dataset in zip(grid, runs.datasets, strict=True):
            part = table[table["dataset"] == dataset]
            draw_lines(axes, part, runs.methods, "method", x="epoch", y="loss")
            _label(axes, "epoch", "loss")
        _legend(figure, grid)
    return figure


def overview(runs: Runs) -> Figure:
    """For the README: accuracy over the datasets; below it, where the tokens stayed and how they went."""
    if not runs.pruned:
        return accuracy(runs)
    focus = tables.OURS if tables.OURS in runs.pruned else runs.pruned[0]
    table = series.lengths(runs).query("method == @focus")
    left = series.tokens(runs).query("method == @focus and branch == 'both'")
    lower = 1.6 + 0.22 * len(runs.datasets)
    with style.sheet(runs, "", 12, 4.8 + lower) as figure:
        grid = figure.subplot_mosaic("AAA;TIL", height_ratios=[3.6, lower])
        grid["A"].set_title("Accuracy", loc="left")
        draw_accuracy(grid["A"], runs, series.accuracy(runs))
        top = table["length"].max()
        for axes, branch in ((grid["T"], "text"), (grid["I"], "image")):
            axes.set_title(f"Length learned by {focus}, {branch} branch")
            part = table[table["branch"] == branch].pivot(index="dataset", columns="layer", values="length")
            draw_heat(axes, part.reindex(runs.datasets), top)
        grid["I"].tick_params(labelleft=False)
        grid["L"].set_title("Tokens left over training")
        draw_tokens(grid["L"], runs, left)
        grid["L"].legend(fontsize=8, loc="lower right", ncols=1 + (len(runs.datasets) > 6))
    return figure


FIGURES: dict[str, Callable[[Runs], Figure]] = {
    "accuracy": accuracy, "lengths": lengths, "tokens": tokens, "loss": loss, "overview": overview,
}  # fmt: skip


def draw_accuracy(axes: Axes, runs: Runs, table: pd.DataFrame) -> None:
    """Groups of bars, the average set apart; the numbers over them in percent."""
    groups, width = [*runs.datasets, tables.AVERAGE], 0.84 / len(runs.methods)
    # the average stands apart: it is another kind of number
    places = np.arange(len(groups)) + np.where(np.array(groups) == tables.AVERAGE, 0.25, 0)
    for at, method in enumerate(runs.methods):
        part = table[table["method"] == method].set_index("dataset").loc[groups]
        x = places + (at - (len(runs.methods) - 1) / 2) * width
        axes.bar(x, part["accuracy"], 0.92 * width, color=style.look(at)[0], label=method)
        axes.vlines(x, part["low"], part["high"], color="#333333", lw=1)
        if len(runs.methods) <= VALUES_UP_TO:
            for place, (_, row) in zip(x, part.iterrows(), strict=True):
                axes.annotate(f"{100 * row['accuracy']:.1f}", (place, row["high"]), (0, 2), textcoords="offset points",
                              ha="center", fontsize=7.5)  # fmt: skip
    axes.axvline(places[-1] - 0.625, color="#bbbbbb", lw=1)
    axes.set_xticks(places, groups, rotation=0 if len(groups) <= 8 else 25)
    axes.get_xticklabels()[-1].set_fontweight("bold")
    axes.tick_params(axis="x", length=0)
    axes.set(xlim=(-0.55, places[-1] + 0.55), ylim=(0, max(1.04, table["high"].max() + 0.04)))
    axes.set_ylabel(f"top-1 accuracy, {runs.split}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y")
    axes.legend(ncols=min(8, len(runs.methods)), loc="lower right", bbox_to_anchor=(1, 1), fontsize=9)


def draw_heat(axes: Axes, table: pd.DataFrame, top: float) -> None:
    """Rows and columns as in the table, the value in each cell; a cell without a value stays white."""
    axes.pcolormesh(table, cmap=HEAT, vmin=0, vmax=top, edgecolors="white", lw=1)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(table)) + 0.5, table.index)
    axes.set_xticks(np.arange(table.shape[1]) + 0.5, table.columns)
    axes.set_xlabel("layer")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            axes.text(column + 0.5, row + 0.5, f"{value:.1f}".removesuffix(".0"), ha="center", va="center", fontsize=8,
                      color="white" if value > 0.55 * top else "black")  # fmt: skip


def draw_tokens(axes: Axes, runs: Runs, table: pd.DataFrame) -> None:
    """Stairs down, a line per dataset."""
    draw_lines(axes, table, runs.datasets, "dataset", x="epoch", y="tokens", steps="post")
    axes.set_ylim(bottom=0)
    _label(axes, "epoch", "tokens")


def draw_lines(
    axes: Axes, table: pd.DataFrame, names: list[str], by: str, *, x: str, y: str, steps: Literal["post"] | None = None
) -> None:
    """A line per name in the column `by`, with a band from `low` to `high`."""
    for at, name in enumerate(names):
        part = table[table[by] == name]
        colour, dash = style.look(at if by == "method" else at + 1)
        if len(part):
            drawn = f"steps-{steps}" if steps else "default"
            axes.plot(part[x], part[y], dash, color=colour, lw=1.6, label=name, drawstyle=drawn)
            axes.fill_between(part[x], part["low"], part["high"], color=colour, alpha=0.15, lw=0, step=steps)
    axes.grid()


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if (place := axes.get_subplotspec()) and place.is_first_col():
        axes.set_ylabel(y)


def _called(branch: str) -> str:
    return {"both": "both branches", "text": "text branch", "image": "image branch"}[branch]


def _names(table: pd.DataFrame, runs: Runs) -> dict[str, pd.DataFrame]:
    """The parts of a table by dataset, and by method too where there are several."""
    titles = table["dataset"] if len(runs.pruned) == 1 else table["dataset"] + ", " + table["method"]
    return {str(title): part for title, part in table.groupby(titles, sort=False)}


def _bar(figure: Figure, grid: list[Axes], top: float) -> None:
    if grid:
        mappable = ScalarMappable(Normalize(0, top), HEAT)
        figure.colorbar(mappable, ax=grid, label="tokens, mean over seeds", fraction=0.03, pad=0.01)


def _legend(figure: Figure, grid: list[Axes]) -> None:
    if grid and (found := grid[0].get_legend_handles_labels())[0]:
        figure.legend(*found, loc="outside right upper", fontsize=9)
