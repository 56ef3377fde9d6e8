"""The contents of one panel: bars, heat maps, lines, dots.

Each function draws a table and knows nothing of runs.
"""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from adapt.report import style
from adapt.report.aggregate import ADAPT, ZERO_SHOT

HEAT = "YlGnBu"


def named_bars(axes: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Draw accuracies as horizontal bars, the first name on top.

    The value in percent stands beside each bar. A NaN leaves a gap with the word "missing".

    table: indexed by name, with `accuracy, low, high`, fractions
    """
    part = table.reindex(names)
    places = np.arange(len(names))
    colours = [{ADAPT: style.STRONG, ZERO_SHOT: style.FLOOR}.get(name, style.WEAK) for name in names]
    axes.barh(places, part["accuracy"], 0.8, color=colours)
    axes.hlines(places, part["low"], part["high"], color="#333333", lw=1)
    for place, (accuracy, high) in enumerate(zip(part["accuracy"], part["high"], strict=True)):
        if np.isfinite(accuracy):
            axes.annotate(f"{100 * accuracy:.1f}", (high, place), (3, 0), textcoords="offset points", va="center",
                          fontsize=8)  # fmt: skip
        else:
            axes.annotate("missing", (0, place), (3, 0), textcoords="offset points", va="center", fontsize=8,
                          color="#777777")  # fmt: skip
    axes.set_yticks(places, names)
    axes.set(ylim=(len(names) - 0.45, -0.55), xlim=(0, 1.25))  # room for the value beside a full bar
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x")


def signed_bars(axes: Axes, labels: list[str], values: pd.Series, low: pd.Series, high: pd.Series) -> None:
    """Draw gains in points as horizontal bars to both sides of zero.

    Bars below zero are also hatched.
    """
    places = np.arange(len(labels))
    ahead = values.to_numpy() >= 0
    for chosen, colour, hatch in ((ahead, style.STRONG, ""), (~ahead, style.BEHIND, "////")):
        axes.barh(places[chosen], 100 * values[chosen], 0.7, color=colour, hatch=hatch, edgecolor="white", lw=0)
    axes.hlines(places, 100 * low, 100 * high, color="#333333", lw=1)
    axes.axvline(0, color="#333333", lw=0.8)
    for place, value, left, right in zip(places, values, low, high, strict=True):
        if np.isfinite(value):
            edge, shift, side = (max(right, value), 4, "left") if value >= 0 else (min(left, value), -4, "right")
            axes.annotate(f"{100 * value:+.1f}", (100 * edge, place), (shift, 0), textcoords="offset points",
                          va="center", ha=side, fontsize=8)  # fmt: skip
    axes.set_yticks(places, labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.margins(x=0.16)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def heat(axes: Axes, table: pd.DataFrame, top: float, form: str = ".1f", size: float = 8) -> None:
    """Draw a heat map, rows and columns as in the table, the value in each cell.

    A cell without a value stays white.
    """
    axes.pcolormesh(table, cmap=HEAT, vmin=0, vmax=top, edgecolors="white", lw=1 if size else 0)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(table)) + 0.5, table.index)
    axes.set_xticks(np.arange(table.shape[1]) + 0.5, table.columns)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if size and np.isfinite(value) and (shown := f"{value:{form}}".removesuffix(".0")) != "0.00":
            axes.text(column + 0.5, row + 0.5, shown, ha="center", va="center", fontsize=size,
                      color="white" if value > 0.55 * top else "black")  # fmt: skip


def lines(
    axes: Axes, table: pd.DataFrame, names: list[str], by: str, *, x: str, y: str, steps: Literal["post"] | None = None,
    ours: str = ADAPT,
) -> None:  # fmt: skip
    """Draw a line per name in the column `by`, with a band from `low` to `high`.

    The line of `ours` is the thickest. If the table has a column `missed`, the points where it is true bear the mark
    MISSED.
    """
    for at, name in enumerate(names):
        part = table[table[by] == name].dropna(subset=[y])
        few, front = len(part) <= 40, name == ours
        look = style.line_style(at if by != "dataset" else at + 1) | (style.OURS if front else {})
        if len(part):
            axes.plot(part[x], part[y], **look, ms=5 if few else 0, label=name,
                      drawstyle=f"steps-{steps}" if steps else "default", zorder=3 if front else 2,
                      markevery=max(1, len(part) // 8))  # fmt: skip
            for point in part[part["missed"]].itertuples() if "missed" in part else ():
                place = getattr(point, x), getattr(point, y)
                axes.annotate(style.MISSED, place, (6, -10), textcoords="offset points", fontsize=11,
                              fontweight="bold", color=look["color"])  # fmt: skip
            axes.fill_between(part[x], part["low"], part["high"], color=look["color"], alpha=0.12, lw=0, step=steps)
    axes.grid()


def dots(axes: Axes, table: pd.DataFrame, values: list[str], names: list[str]) -> None:
    """Draw accuracies as dots with their deviation, a row per value.

    Each row has one dot per name; markers tell the names apart.
    """
    for at, name in enumerate(names):
        part = table[table["series"] == name].set_index("x").reindex(values)
        places = np.arange(len(values)) + (at - (len(names) - 1) / 2) * min(0.25, 0.8 / len(names))
        colour = style.STRONG if name == ADAPT or len(names) == 1 else style.BEHIND
        marker = style.MARKERS[at % len(style.MARKERS)]
        axes.hlines(places, part["low"], part["high"], color=colour, lw=1.4)
        axes.plot(part["accuracy"], places, marker, color=colour, ms=7, label=name)
        for place, accuracy in zip(places, part["accuracy"], strict=True):
            if np.isfinite(accuracy):
                halo = [withStroke(linewidth=3, foreground="white")]  # where it lies on a line
                axes.annotate(f"{100 * accuracy:.1f}", (accuracy, place), (0, 6), textcoords="offset points",
                              ha="center", fontsize=8, path_effects=halo)  # fmt: skip
    axes.set_yticks(range(len(values)), values)
    axes.set_ylim(len(values) - 0.45, -0.6)
    axes.margins(x=0.1)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))  # more labels overlap in half a figure's width
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="x")


def label(axes: Axes, x: str, y: str) -> None:
    """Label the axes, y only in the first column of a grid; whole numbers on x."""
    axes.set_xlabel(x)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if (place := axes.get_subplotspec()) and place.is_first_col():
        axes.set_ylabel(y)
