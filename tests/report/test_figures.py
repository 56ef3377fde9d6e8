"""The figures and Vega templates draw few methods and many; nothing is cut off."""

import json
import re
import shutil
from io import BytesIO
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc_render.vega import VegaRenderer
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from adapt.pipeline import study
from adapt.report import figures, load, plot_data, studies, study_figures, style
from stages import page
from tests.fake_runs import read, write_runs, write_study

ROOT = Path(__file__).parents[2]
PLOTS = {  # template: the columns that dvc.yaml names as x and y
    "accuracy": ("dataset", "accuracy"),
    "gain": ("gain", "dataset"),
    "lengths": ("layer", "length"),
    "tokens": ("epoch", "tokens"),
    "loss": ("epoch", "loss"),
    "confusion": ("prediction", "truth"),
    "classes": ("gain", "class"),
    "studies": ("x", "accuracy"),
}


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables that the stage writes for the templates."""
    folder = tmp_path_factory.mktemp("plots")
    found = read(folder / "runs")
    for name in ("shots", "distill"):
        write_study(folder / "studies", name)
    return {**plot_data.by_name(found), "studies": studies.all_curves(studies.read(found, folder / "studies")[0])}


# figures


def is_whole(figure: Figure, stamp: str, folder: Path) -> None:
    """Assert that a figure is complete.

    Something is drawn, nothing is cut off, no two texts of a panel overlap, and the footer is there.
    """
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]
    assert any(text.get_text().startswith(stamp) for text in texts)
    for axes in figure.axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            boxes = [label.get_window_extent() for label in labels if label.get_text() and label.get_visible()]
            upright = all(label.get_rotation() == 0 for label in labels)
            assert not upright or not any(one.overlaps(next_) for one, next_ in pairwise(boxes))
    figure.savefig(folder / "figure.png", dpi=60)  # last: text is laid out anew for other dots per inch
    with Image.open(folder / "figure.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20  # more than an empty sheet: text has soft edges


SIZES: dict[str, dict[str, Any]] = {
    "pocket": {},
    "one": {"datasets": ["digits"], "methods": ["adapt"], "seeds": [1]},
    "nothing_pruned": {"methods": ["zero_shot"]},
    "paper": {
        "datasets": [f"dataset_number_{at}" for at in range(11)],
        "methods": ["zero_shot", *(f"method_{at}" for at in range(15)), "adapt"],
        "seeds": [1],
    },
}


MANY = [f"method_{at}" for at in range(15)]


@pytest.fixture(scope="module", params=SIZES)
def of_any_size(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> load.Runs:
    return read(tmp_path_factory.mktemp(request.param), **SIZES[request.param])


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figure_is_drawn_and_nothing_is_cut_off(of_any_size: load.Runs, name: str, tmp_path: Path):
    is_whole(figures.FIGURES[name].draw(of_any_size), of_any_size.provenance_line, tmp_path)


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> load.Runs:
    folder = tmp_path_factory.mktemp("incomplete")
    asked = write_runs(folder)
    for gone in ("digits/adapt/seed_2", "phosphor/uniform", "phosphor/zero_shot"):
        shutil.rmtree(folder / gone)
    return load.read(folder, **asked)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figure_is_drawn_of_what_is_there(incomplete: load.Runs, name: str, tmp_path: Path):
    is_whole(figures.FIGURES[name].draw(incomplete), incomplete.provenance_line, tmp_path)


def test_figures_are_saved_with_300_dots_per_inch(incomplete: load.Runs, tmp_path: Path):
    figure = figures.FIGURES["gain"].draw(incomplete)
    figure.savefig(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == tuple(round(300 * float(inches)) for inches in figure.get_size_inches())


def test_lines_differ_without_their_colours():
    looks = [style.line_style(at) for at in range(17)]
    assert len({(look["linestyle"], look["marker"]) for look in looks}) == len(looks)


def test_bars_of_ours_the_floor_and_the_rest_differ_in_greyscale():
    grey = [
        Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
        for colour in (style.STRONG, style.FLOOR, style.WEAK)
    ]
    assert min(abs(a - b) for a, b in combinations(grey, 2)) >= 8 and grey[0] < min(grey[1:]) - 60


# studies


@pytest.fixture(scope="module", params=["three methods", "seventeen methods"])
def gathered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, studies.StudyResult]:
    folder = tmp_path_factory.mktemp("studies")
    found = read(folder / "runs")
    many = ["zero_shot", *MANY, "adapt"] if request.param == "seventeen methods" else None
    for name in study.load():
        write_study(folder / "studies", name, many if name == "shots" else None)
    return studies.read(found, folder / "studies")[0]


@pytest.mark.parametrize("name", ["shots", "distill", "criteria", "budget", "schedule", "bilevel", "pruning"])
def test_study_figure_is_drawn_and_nothing_is_cut_off(
    gathered: dict[str, studies.StudyResult], name: str, tmp_path: Path
):
    spec, of = study_figures.by_name(gathered)[name]
    is_whole(spec.draw(of), of.provenance_line, tmp_path)
    assert f"`python -m stages.study {of.name}` at commit cccccccccc" in spec.caption


# Vega


def fill(name: str, table: pd.DataFrame, revisions: list[str]) -> dict[str, Any]:
    """Return the template with data as DVC fills it.

    All values are text, and there is one copy of the rows per revision.
    """
    cells = table.astype(str).to_dict("records")
    rows = [{**row, "rev": revision} for revision in revisions for row in cells]
    x, y = PLOTS[name]
    renderer = VegaRenderer(rows, name, template=name, template_dir=ROOT / ".dvc/plots", x=x, y=y, title=name)
    return renderer.get_filled_template()


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("revisions", [["workspace"], ["workspace", "HEAD"]], ids=["show", "diff"])
def test_vega_template_draws(plots: dict[str, pd.DataFrame], name: str, revisions: list[str]):
    vl_convert = pytest.importorskip("vl_convert")
    table = plots[name]
    picture = vl_convert.vegalite_to_png(json.dumps(fill(name, table, revisions)), vl_version=page.VEGA_LITE)
    with Image.open(BytesIO(picture)) as image:
        assert image.width > 300
        assert image.height > 130 * len(revisions)
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50


@pytest.mark.parametrize("name", PLOTS)
def test_vega_template_uses_columns_that_exist(plots: dict[str, pd.DataFrame], name: str):
    table = plots[name]
    assert set(PLOTS[name]) <= set(table)
    text = (ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8")
    made_here = set(re.findall(r'"as": "(\w+)"', text))
    used = set(re.findall(r'"field": "(\w+)"', text)) | set(re.findall(r"datum\.(\w+)", text)) - {"value", "rev"}
    assert used <= set(table) | made_here


def test_vega_templates_share_the_figures_colours():
    first, rest = style.COLOURS[0], style.COLOURS[1:]
    expected = {
        "accuracy": [first, *rest], "studies": [first, *rest], "tokens": [*rest, first], "loss": [*rest, first],
    }  # fmt: skip
    for name, colours in expected.items():
        text = (ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8")
        assert re.findall(r"#[0-9a-f]{6}", text.partition('"range"')[2].partition("]")[0]) == colours


def test_page_is_whole_and_needs_no_network():
    text = (ROOT / ".dvc/plots/page.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script[^>]*\bsrc\b", text)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text)
    assert "{plot_divs}" in text
    assert "{refresh_tag}" in text
    assert "{scripts}" not in text
    assert "window.vegaEmbed" in text
