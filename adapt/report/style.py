"""How every figure looks: colours, fonts, grids of panels, and the footer that says with what it was made."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from adapt.report import fonts

DPI = 300
# Okabe and Ito's colours, which the colour-blind can tell apart, after a grey for the first method (usually zero_shot);
# the second eight are darker shades of them. A test keeps .dvc/plots/*.json to this order.
COLOURS = (
    "#8c8c8c", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#4d4d4d", "#00436a", "#7d3700", "#005c43", "#7a4864", "#8a5f00", "#2b6f94", "#f0e442",
)  # fmt: skip
# In greyscale lines are told apart by dash and marker: no two of the first 24 have both in common.
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Bars carry names, so colour only sets off what is ours (darkest in greyscale too), the floor and the rest.
STRONG, WEAK, FLOOR = "#0072b2", "#a9cfe8", "#bdbdbd"
BEHIND = "#d55e00"
MISSED = "†"  # marks a point whose runs ended with other than the tokens asked for
OURS: Any = {"color": "#000000", "linestyle": "-", "linewidth": 2.8}  # the line of ours, wherever it stands in params
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
    """What knows with what its numbers were made, and what they must not be taken for."""

    @property
    def provenance_line(self) -> str:
        """Preset, backbone, weights and the like."""
        ...

    @property
    def warnings(self) -> list[str]:
        """One line each."""
        ...


def line_style(index: int) -> dict[str, Any]:
    """Colour, dash and marker of the line whose method or dataset stands at this index in params."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(MARKERS) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
        "linewidth": 1.4,
    }


@contextmanager
def new_figure(made: Provenance, title: str, width: float, height: float) -> Iterator[Figure]:
    """An empty figure, inches, whose title and footer are set; to be filled within the context."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        if title:
            figure.suptitle(title, fontsize=13, fontweight="bold")
        footer = "\n".join([made.provenance_line, *made.warnings])
        figure.supxlabel(footer, fontsize=8, color="#555555", x=0.01, ha="left")
        yield figure
        fonts.mend(figure)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", fonts.WARNING)  # the report says it once
            figure.draw_without_rendering()


def panels(
    figure: FigureBase, titles: Sequence[str], columns: int, *, sharex: bool = False, sharey: bool = False
) -> list[Axes]:
    """One panel per title, row by row; places left over in the last row stay empty."""
    columns = min(columns, len(titles))
    grid = figure.subplots(-(-len(titles) // columns), columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for axes in grid[len(titles) :]:
        axes.set_axis_off()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    return list(grid[: len(titles)])


def say_empty(figure: Figure, why: str) -> None:
    """A figure without anything to draw says so."""
    figure.text(0.5, 0.5, why, ha="center", va="center", color="#555555")
