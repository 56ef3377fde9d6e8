"""HTML for the parts without a Gradio component: header, bars, heat map."""

from collections.abc import Mapping
from html import escape

POCKET_NOTE = "a pocket number says nothing about the paper’s"
STRONGEST = 80  # percent of the accent colour at most, so that the number on it can be read


def header(title: str, facts: list[str], *, pocket: bool) -> str:
    """Return the top of the page."""
    note = f'<span class="note">{POCKET_NOTE}</span>' if pocket else ""
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f"<h1>{escape(title)}{note}</h1><ul>{listed}</ul>"


def bars(name: str, remark: str, ranking: Mapping[str, float] | None) -> str:
    """Return a panel with bars of the most likely classes, the first in large letters.

    `ranking` is None before a picture is dropped.
    """
    head = f"<h2>{escape(name)}<small>{escape(remark)}</small></h2>"
    if not ranking:
        return f'{head}<p class="empty">drop a picture</p>'
    rows = "".join(bar(label, share) for label, share in ranking.items())
    return f'{head}<p class="answer">{escape(next(iter(ranking)))}</p><ol>{rows}</ol>'


def bar(label: str, share: float) -> str:
    """Return a class with its probability."""
    percent = f"{100 * share:.1f}"
    return (
        f'<li><span class="label">{escape(label)}</span><span class="percent">{percent} %</span>'
        f'<span class="track"><span class="bar" style="width: {percent}%"></span></span></li>'
    )


def heat_map(method: str, lengths: Mapping[str, list[int]]) -> str:
    """Return a table of the number of learned tokens in each layer, a row per branch."""
    total, most = sum(map(sum, lengths.values())), max((max(row, default=0) for row in lengths.values()), default=0)
    if not total:
        return f"<h2>no learned tokens<small>{escape(method)} puts none into the layers</small></h2>"
    head = "".join(f'<th scope="col">{layer + 1}</th>' for layer in range(max(map(len, lengths.values()))))
    rows = "".join(heat_row(branch, row, most) for branch, row in lengths.items())
    title = f"<h2>learned tokens of each layer<small>{total} in all, after tuning</small></h2>"
    return f'{title}<table><tr><th scope="row">layer</th>{head}</tr>{rows}</table>'


def heat_row(branch: str, lengths: list[int], most: int) -> str:
    """Return the layers of a branch; more tokens have a stronger colour."""
    cells = (f'<td style="--share: {round(STRONGEST * length / most)}%">{length}</td>' for length in lengths)
    return f'<tr><th scope="row">{escape(branch)}</th>{"".join(cells)}</tr>'
