"""A table of strings, rendered from templates as Markdown, LaTeX and HTML.

The HTML is for the page.
"""

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
    """The content of a table, whose first column names the rows.

    made: the settings its numbers were made with; caption: how they were computed; reading: sentences computed from
    them.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    made: str
    warnings: Sequence[str]
    caption: str
    reading: Sequence[str] = field(default=())

    def render(self, form: str) -> str:
        """Return the table as `md`, `tex` or `html`."""
        return environment().get_template(f"table.{form}").render(table=self)

    def with_best(self, columns: dict[int, bool]) -> "Table":
        """Return the table with the best cells of some columns marked.

        `columns` maps the index of a column to whether greater is better. All cells that show the best number are
        marked; empty cells never are.
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
    """Return the number that a cell begins with; NaN for an empty cell."""
    found = re.match(r"[-+]?[\d.]+", text.replace(",", ""))
    return float(found[0]) if found else np.nan


def percent(value: float, spread: float | None = None) -> Cell:
    """Format a fraction in percent, with its spread if given; empty for NaN."""
    if np.isnan(value):
        return Cell("")
    if spread is None:
        return Cell(f"{100 * value:.2f}")
    return Cell(f"{100 * value:.2f} ± {NONE if np.isnan(spread) else f'{100 * spread:.2f}'}")


def rounded(value: float, form: str) -> Cell:
    """Format a number; empty for NaN."""
    return Cell("" if np.isnan(value) else format(value, form))


def latex(text: str) -> str:
    """Escape the characters that LaTeX would take for commands, and drop backticks."""
    return "".join(LATEX.get(character, character) for character in text.replace("`", ""))


def inline(text: str) -> Markup:
    """Render the marks `code` and **strong** as HTML."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked))


def narrow(text: str, asked: bool) -> Markup:
    """Return a text as HTML; if asked, made to take less width.

    It then breaks before a ± and may break after underscores.
    """
    marked = escape(text)
    return Markup(marked.replace(" ± ", Markup("<br>± ")).replace("_", Markup("_<wbr>"))) if asked else marked


def p_value(p: float) -> Cell:
    """Format a p value; one that would round to zero is shown as <0.0001."""
    return Cell("" if np.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}")


def sentence(text: str) -> str:
    """Capitalise the first letter of a text."""
    return text[:1].upper() + text[1:]


@cache
def environment() -> Environment:
    """Return the environment of the templates.

    HTML is escaped, and an undefined name is an error.
    """
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: bool(name) and name.endswith(".html"), keep_trailing_newline=True,
    )  # fmt: skip
    found.filters.update(latex=latex, inline=inline, sentence=sentence, narrow=narrow)
    return found
