"""Glyph masks and their renderings."""

import numpy as np
import pytest

from adapt.data import glyphs
from adapt.errors import UserError


@pytest.mark.parametrize(
    ("family", "least"),
    [
        ("phosphor", 4000), ("remix", 2000), ("fontawesome", 1500), ("material", 7000), ("google", 8000),
        ("fluent", 12000), ("bootstrap", 2000), ("lucide", 1500), ("ionicons", 700), ("codicon", 400), ("eva", 400),
        ("typicons", 300), ("elusive", 300),
    ],
)  # fmt: skip
def test_a_family_is_read_whole(family: str, least: int) -> None:
    assert len({(glyph.font, glyph.char) for glyph in glyphs.icons(family)}) >= least


def test_a_missing_package_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(glyphs, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"'tkinter_icons_eva'.*`pip install 'adapt-clip\[pretrain\]'"):
        glyphs.fonts("eva")


def test_every_font_has_each_character_of_its_own() -> None:
    drawn = {glyph: glyphs.mask(glyph).tobytes() for glyph in glyphs.characters("0123456789")}
    fonts = {glyph.font for glyph in drawn}
    assert len(fonts) == len(glyphs.FONTS)
    for font in fonts:
        assert len({pixels for glyph, pixels in drawn.items() if glyph.font == font}) == 10


@pytest.mark.parametrize("family", glyphs.FAMILIES)
def test_a_mask_is_centred_and_fills_its_box(family: str) -> None:
    for glyph in [glyph for glyph in glyphs.icons(family) if glyph.name != "blank"][::97]:
        cover = glyphs.mask(glyph)
        assert cover.shape == (glyphs.SIZE, glyphs.SIZE)
        rows, columns = (np.flatnonzero(cover.max(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) <= glyphs.FILL + 1, glyph.name
        for line in (rows, columns):
            assert abs(line[0] + line[-1] - (glyphs.SIZE - 1)) <= 1, glyph.name


def test_a_rendering_depends_on_the_seed_alone() -> None:
    shape = glyphs.mask(glyphs.icons("remix")[100])
    same = [glyphs.render_glyph(shape, np.random.default_rng(5)).tobytes() for _ in range(2)]
    assert same[0] == same[1] != glyphs.render_glyph(shape, np.random.default_rng(6)).tobytes()


def test_ink_and_paper_differ_in_luminance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        ink, paper = glyphs.contrasting(rng)
        assert abs((ink - paper) @ (0.299, 0.587, 0.114)) >= 0.3
