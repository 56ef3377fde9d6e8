"""Fonts for names in any script: what the default font lacks is drawn by whichever installed font has it."""

from collections.abc import Iterator
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import FigureBase
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

DEFAULT = "DejaVu Sans"
PLACEHOLDERS = "Last Resort"  # a font of boxes, which has every character and shows none
WARNING = r"Glyph \d+ .* missing from font"  # matplotlib's, one a character and drawing


@cache
def covered(path: str) -> frozenset[str]:
    """The characters of a font file."""
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def texts(figure: FigureBase) -> Iterator[tuple[Text, frozenset[str]]]:
    """Each text of a figure with those of its characters that the default font lacks."""
    known = covered(font_manager.findfont(DEFAULT))
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if lacking := frozenset(character for character in text.get_text() if character.isprintable()) - known:
            yield text, lacking


def families(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Installed fonts that have between them as many of these characters as any do, and those that none has."""
    found = []
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if not characters:
            break
        if not font.name.startswith(PLACEHOLDERS) and (here := characters & covered(font.fname)):
            found.append(font.name)
            characters -= here
    return found, characters


def mend(figure: FigureBase) -> None:
    """Let installed fonts draw what the default one cannot."""
    for text, lacking in texts(figure):
        text.set_fontfamily([DEFAULT, *families(lacking)[0]])


def lost(figure: FigureBase) -> frozenset[str]:
    """The characters in a figure that no installed font has."""
    return frozenset().union(*(families(lacking)[1] for _, lacking in texts(figure)))
