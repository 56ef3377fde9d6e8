"""Fonts for names in any script.

Characters that the default font lacks are drawn by any installed font that has them.
"""

from collections.abc import Iterator
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import FigureBase
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

DEFAULT = "DejaVu Sans"
PLACEHOLDERS = "Last Resort"  # a font of placeholder boxes: it covers every character and shows none
WARNING = r"Glyph \d+ .* missing from font"  # matplotlib's, for each character in each drawing


@cache
def covered(path: str) -> frozenset[str]:
    """Return the characters that a font file covers."""
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def texts(figure: FigureBase) -> Iterator[tuple[Text, frozenset[str]]]:
    """Yield each text that the default font cannot draw, with the characters it lacks."""
    known = covered(font_manager.findfont(DEFAULT))
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if lacking := frozenset(character for character in text.get_text() if character.isprintable()) - known:
            yield text, lacking


def families(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Find installed fonts for some characters.

    Returns:
        The names of fonts that together have as many of the characters as all installed fonts do, and the characters
        that none of them has.
    """
    found = []
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if not characters:
            break
        if not font.name.startswith(PLACEHOLDERS) and (here := characters & covered(font.fname)):
            found.append(font.name)
            characters -= here
    return found, characters


def mend(figure: FigureBase) -> None:
    """Let installed fonts draw the characters that the default font lacks."""
    for text, lacking in texts(figure):
        text.set_fontfamily([DEFAULT, *families(lacking)[0]])


def lost(figure: FigureBase) -> frozenset[str]:
    """Return the characters in a figure that no installed font has."""
    return frozenset().union(*(families(lacking)[1] for _, lacking in texts(figure)))
