"""How every figure looks: colours, fonts, grids of panels, and the footer that says with what it was made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapt.report.runs import Runs

DPI = 160
# Okabe and Ito's colours, which the colour-blind can tell apart, after a grey for the first method (usually zero_shot);
# the second eight are darker shades of them, dashed where they are lines. A test keeps .dvc/plots/*.json to this order.
COLOURS = (
    "#8c8c8c", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#4d4d4d", "#00436a", "#7d3700", "#005c43", "#7a4864", "#8a5f00", "#2b6f94", "#f0e442",
)  # fmt: skip
DASHED_FROM = 8
SETTINGS: Any = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
}


def look(index: int) -> tuple[str, str]:
    """Colour and line style of the method or dataset that stands at this index in params."""
    place = index % len(COLOURS)
    return COLOURS[place], "-" if place < DASHED_FROM else "--"


@contextmanager
def sheet(runs: Runs, title: str, width: float, height: float) -> Iterator[Figure]:
    """An empty figure, inches, whose title and footer are set; to be filled within the context."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        if title:
            figure.suptitle(title, fontsize=13, fontweight="bold")
        footer = "\n".join([runs.stamp, *runs.warnings])
        figure.supxlabel(footer, fontsize=8, color="#555555", x=0.01, ha="left")
        yield figure
        figure.draw_without_rendering()


def panels(figure: Figure, titles: Sequence[str], columns: int, sharey: bool = False) -> list[Axes]:
    """One panel per title, row by row; places left over in the last row stay empty."""
    if not titles:
        figure.text(0.5, 0.5, "no method here removes tokens", ha="center", va="center", color="#555555")
        return []
    columns = min(columns, len(titles))
    grid = figure.subplots(-(-len(titles) // columns), columns, squeeze=False, sharey=sharey).ravel()
    for axes in grid[len(titles) :]:
        axes.set_axis_off()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    return list(grid[: len(titles)])
