"""Names that a figure's default font lacks, or that look like mathematics."""

import warnings
from pathlib import Path

import pytest
from matplotlib import font_manager

from adapt.report import fonts, style

CJK = "犬猫"


class Made:
    provenance_line = "made by a test"
    warnings: list[str] = []  # noqa: RUF012


def draw(text: str, path: Path):
    with style.new_figure(Made(), "title", 4, 3) as figure:
        figure.subplots().set_title(text)
    figure.savefig(path)
    return figure


@pytest.mark.parametrize("name", ["price_$100%_off$", "$", "a^b_c", r"\frac{1}{2}", "100 %", "R&D #1"])
def test_name_that_looks_like_mathematics_is_drawn_as_it_is(name, tmp_path):
    figure = draw(name, tmp_path / "x.png")
    assert figure.axes[0].get_title() == name and not fonts.lost(figure)


@pytest.fixture
def with_font(monkeypatch):
    """An installed font that covers all characters.

    It is matplotlib's font of last resort under another name.
    """
    (last,) = (font for font in font_manager.fontManager.ttflist if font.name.startswith(fonts.PLACEHOLDERS))
    monkeypatch.setattr(fonts, "PLACEHOLDERS", "no such font")
    return last.name


def test_installed_font_draws_what_the_default_lacks(with_font, tmp_path):
    figure = draw(CJK, tmp_path / "x.png")
    assert figure.axes[0].title.get_fontfamily() == [fonts.DEFAULT, with_font] and not fonts.lost(figure)


def test_names_at_the_ticks_are_drawn_by_it_too(with_font, tmp_path):
    with style.new_figure(Made(), "title", 4, 3) as figure:
        figure.subplots().set_yticks([0, 1], [CJK, "cat"])
    figure.savefig(tmp_path / "x.png")
    (label,) = (label for label in figure.axes[0].get_yticklabels() if label.get_text() == CJK)
    assert label.get_fontfamily() == [fonts.DEFAULT, with_font]


def test_characters_that_no_font_has_are_known_and_no_warning_is_raised(monkeypatch):
    bare = [font for font in font_manager.fontManager.ttflist if font.name == fonts.DEFAULT]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", bare)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?!.*missing from font)")
        with style.new_figure(Made(), "title", 4, 3) as figure:
            figure.subplots().set_title(CJK + "x")
    assert fonts.lost(figure) == set(CJK)


def test_other_scripts_of_the_default_font_are_left_alone(tmp_path):
    figure = draw("собака σκύλος كلب", tmp_path / "x.png")
    assert not fonts.lost(figure)
