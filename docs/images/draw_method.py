"""Draw the diagram of the method: each layer's tokens before and after pruning.

    python docs/images/draw_method.py

The lengths are real: the script tunes `adapt` on `digits`, seed 1, with the pocket preset, which takes about twenty
seconds. It writes method_light.svg and method_dark.svg beside itself.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import adapt

FOLDER = Path(__file__).parent
THEMES = {
    "light": {"ink": "#1f2328", "faint": "#8c959f", "frozen": "#e4e8ec", "image": "#d55e00", "text": "#0072b2"},
    "dark": {"ink": "#e6edf3", "faint": "#7d8590", "frozen": "#30363d", "image": "#e69f00", "text": "#56b4e9"},
}
LAYER, HEIGHT, PITCH = 1.9, 0.66, 0.86  # width and height of a layer's box, distance between the bottoms of two
TOKEN, GAP = 0.42, 0.14  # side of a token's square, space between two
TOWER, PANEL = 5.2, 12.4  # distance between towers of a panel, and between panels

Lengths = dict[str, list[int]]


def draw_layer(axes: Axes, x: float, layer: int, left: int, start: int, colour: str, theme: dict[str, str]) -> None:
    """Draw a frozen layer and its tokens; pruned tokens are dotted outlines."""
    y = layer * PITCH
    shape = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((x, y), LAYER, HEIGHT, boxstyle=shape, fc=theme["frozen"], ec="none"))
    axes.text(x + LAYER / 2, y + HEIGHT / 2, f"layer {layer}", ha="center", va="center", color=theme["ink"], size=9)
    for token in range(start):
        corner = (x - (token + 1) * (TOKEN + GAP), y + (HEIGHT - TOKEN) / 2)
        kept = token < left
        look: Any = (
            {"fc": colour, "ec": colour} if kept else {"fc": "none", "ec": theme["faint"], "ls": (0, (1.5, 1.5))}
        )
        axes.add_patch(Rectangle(corner, TOKEN, TOKEN, lw=1, **look))


def draw_panel(axes: Axes, x: float, title: str, lengths: Lengths, start: Lengths, theme: dict[str, str]) -> None:
    """Draw both towers, side by side, and above them how many tokens they have."""
    count = sum(map(sum, lengths.values()))
    for number, branch in enumerate(("image", "text")):
        place = x + number * TOWER
        for layer, (left, first) in enumerate(zip(lengths[branch], start[branch], strict=True)):
            draw_layer(axes, place, layer, left, first, theme[branch], theme)
        axes.text(place + LAYER / 2, -0.5, f"{branch} tower", ha="center", va="center", color=theme["ink"], size=10)
    middle, top = x + (TOWER + LAYER - 3 * (TOKEN + GAP)) / 2, len(start["text"]) * PITCH + 0.35
    axes.text(middle, top, f"{title}: {count} tokens", ha="center", color=theme["ink"], size=11, weight="bold")


def draw(before: Lengths, after: Lengths, theme: dict[str, str]) -> Figure:
    """Draw the towers before and after pruning, with an arrow between them."""
    figure = Figure(figsize=(10, 3.1))
    axes = figure.add_axes((0, 0, 1, 1))
    draw_panel(axes, 0, "start", before, before, theme)
    draw_panel(axes, PANEL, "end", after, before, theme)
    height = len(before["text"]) * PITCH
    begin, end = TOWER + LAYER + 0.5, PANEL - 3 * (TOKEN + GAP) - 0.4
    arrow = {"arrowstyle": "-|>", "mutation_scale": 16, "lw": 1.6, "color": theme["ink"]}
    axes.add_patch(FancyArrowPatch((begin, height / 2), (end, height / 2), **arrow))
    above, below = "tune, score,\nprune, repeat", "prompt tokens: keys\nand values only"
    axes.text((begin + end) / 2, height / 2 + 0.3, above, ha="center", va="bottom", color=theme["ink"], size=10)
    axes.text((begin + end) / 2, height / 2 - 0.3, below, ha="center", va="top", color=theme["ink"], size=9)
    axes.set(xlim=(-2.1, PANEL + TOWER + LAYER + 0.3), ylim=(-0.9, height + 0.95))
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def main() -> None:
    clip = adapt.load_clip("pocket")
    model = adapt.fit("adapt", clip, adapt.load_dataset("digits").few_shot(shots=16, seed=1))
    after = model.lengths()
    config: Any = model.config
    initial = config.prompts.initial_length
    before = {branch: [initial] * len(lengths) for branch, lengths in after.items()}
    mpl.rcParams["svg.hashsalt"] = "method"  # the same file each time
    for name, theme in THEMES.items():
        path = FOLDER / f"method_{name}.svg"
        draw(before, after, theme).savefig(path, transparent=True, metadata={"Date": None, "Description": f"{after}"})


if __name__ == "__main__":
    main()
