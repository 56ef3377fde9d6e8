"""Markdown of generated pages: escaped text, code and tables."""

import html
import re
from collections.abc import Iterable, Sequence


def text(words: str) -> str:
    """Return plain words as Markdown; what is in backticks stays code."""
    parts = re.split(r"(`[^`]+`)", words)
    return "".join(part if part.startswith("`") and len(part) > 1 else escape(part) for part in parts)


def escape(words: str) -> str:
    """Return words with the characters of Markdown and HTML escaped."""
    return re.sub(r"([\\*_\[\]#|~])", r"\\\1", html.escape(words, quote=False))


def code(words: object) -> str:
    """Return words as code."""
    return f"`{words}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a pipe within code is escaped as tables want it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(item) for item in line)} |" for line in lines) + "\n"


def cell(words: str) -> str:
    """Return one cell: on one line, with pipes in code escaped."""
    line = " ".join(words.split())
    return re.sub(r"`[^`]*`", lambda match: match[0].replace("|", r"\|"), line)
