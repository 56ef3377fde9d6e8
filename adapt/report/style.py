"""The look of every figure: colours, fonts, grids of panels, and the footer.

The footer shows the settings that the numbers were made with.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from adapt.report import fonts

DPI = 300
# A grey for the first method (usually zero_shot), then the colours of Okabe and Ito, which colour-blind readers can
# tell apart; the second eight are darker shades of them. A test checks that .dvc/plots/*.json have the same order.
COLOURS = (
    "#8c8c8c", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#4d4d4d", "#00436a", "#7d3700", "#005c43", "#7a4864", "#8a5f00", "#2b6f94", "#f0e442",
)  # fmt: skip
# Dash and marker tell lines apart in greyscale: no two of the first 24 share both.
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Bars are labelled, so colour only sets ADAPT (darkest in greyscale too) and zero-shot CLIP apart from the rest.
STRONG, WEAK, FLOOR = "#0072b2", "#a9cfe8", "#bdbdbd"
BEHIND = "#d55e00"
MISSED = "†"  # marks a point whose runs ended with another number of tokens than asked for
OURS: Any = {"color": "#000000", "linestyle": "-", "linewidth": 2.8}  # ADAPT's line, at any position in params
SETTINGS: Any = {
    "font.size": 10,
    "text.parse_math": False,  # a class may be called price_$100
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
}


class Provenance(Protocol):
    """Numbers with the settings they were made with, and their warnings."""

    @property
    def provenance_line(self) -> str:
        """Preset, backbone, weights and the like."""
        ...

    @property
    def warnings(self) -> list[str]:
        """One line each."""
        ...


def line_style(index: int) -> dict[str, Any]:
    """Return colour, dash and marker of a line.

    `index` is the position of its method or dataset in params.
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(MARKERS) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
        "linewidth": 1.4,
    }


@contextmanager
def new_figure(made: Provenance, title: str, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure with title and footer, to be drawn within the context.

    width and height are in inches.
    """
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        if title:
            figure.suptitle(title, fontsize=13, fontweight="bold")
        footer = "\n".join([made.provenance_line, *made.warnings])
        figure.supxlabel(footer, fontsize=8, color="#555555", x=0.01, ha="left")
        yield figure
        fonts.mend(figure)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", fonts.WARNING)  # the report warns of it once
            figure.draw_without_rendering()


def panels(
    figure: FigureBase, titles: Sequence[str], columns: int, *, sharex: bool = False, sharey: bool = False
) -> list[Axes]:
    """Add one panel per title, row by row.

    Cells left over in the last row stay empty.
    """
    columns = min(columns, len(titles))
    grid = figure.subplots(-(-len(titles) // columns), columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for axes in grid[len(titles) :]:
        axes.set_axis_off()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    return list(grid[: len(titles)])


def say_empty(figure: Figure, why: str) -> None:
    """Write in an empty figure why there is nothing to draw."""
    figure.text(0.5, 0.5, why, ha="center", va="center", color="#555555")
