"""A table of texts and its three forms, Markdown, LaTeX and (on the page) HTML, each from a template."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"
NONE = "–"  # the spread of a single value
LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", NONE: "--", "×": r"$\times$", "≤": r"$\leq$", "<": "$<$"}
LATEX |= {character: rf"\{character}" for character in "&%$#_{}"}


class Cell(NamedTuple):
    """A text, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """What a table shows: the first column names the rows.

    made: with what its numbers were made; caption: how they were made; reading: sentences that the numbers bear out.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    made: str
    warnings: Sequence[str]
    caption: str
    reading: Sequence[str] = field(default=())

    def render(self, form: str) -> str:
        """The table as `md`, `tex` or `html`."""
        return environment().get_template(f"table.{form}").render(table=self)

    def with_best(self, columns: dict[int, bool]) -> "Table":
        """The table with the best of some columns marked: by index, whether greater is better.

        Cells that show the same number as the best are marked with it; empty ones never are.
        """
        rows = [list(row) for row in self.rows]
        for column, greater in columns.items():
            shown = {at: number(row[column].text) for at, row in enumerate(rows)}
            found = {at: value for at, value in shown.items() if not np.isnan(value)}
            best = (max if greater else min)(found.values(), default=np.nan)
            for at, value in found.items():
                rows[at][column] = Cell(rows[at][column].text, value == best)
        return replace(self, rows=rows)


def number(text: str) -> float:
    """The number that a cell begins with, NaN for an empty one."""
    found = re.match(r"[-+]?[\d.]+", text.replace(",", ""))
    return float(found[0]) if found else np.nan


def percent(value: float, spread: float | None = None) -> Cell:
    """A fraction in percent, with its spread where one is given; empty for NaN."""
    if np.isnan(value):
        return Cell("")
    if spread is None:
        return Cell(f"{100 * value:.2f}")
    return Cell(f"{100 * value:.2f} ± {NONE if np.isnan(spread) else f'{100 * spread:.2f}'}")


def rounded(value: float, form: str) -> Cell:
    """A number in a format, empty for NaN."""
    return Cell("" if np.isnan(value) else format(value, form))


def latex(text: str) -> str:
    """Plain text with what LaTeX would take for commands escaped."""
    return "".join(LATEX.get(character, character) for character in text.replace("`", ""))


def inline(text: str) -> Markup:
    """The marks `code` and **strong** as HTML."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked))


def narrow(text: str, asked: bool) -> Markup:
    """A text as HTML; if asked for, on two lines where it has a ±, and with breaks allowed after underscores."""
    marked = escape(text)
    return Markup(marked.replace(" ± ", Markup("<br>± ")).replace("_", Markup("_<wbr>"))) if asked else marked


def p_value(p: float) -> Cell:
    """A p value; one that rounds to zero is shown as what it is below."""
    return Cell("" if np.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}")


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


@cache
def environment() -> Environment:
    """The templates; HTML is escaped, and a name that is not given is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: bool(name) and name.endswith(".html"), keep_trailing_newline=True,
    )  # fmt: skip
    found.filters.update(latex=latex, inline=inline, sentence=sentence, narrow=narrow)
    return found
