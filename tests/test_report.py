"""The report: what it computes, what it refuses, and that its figures and Vega templates draw."""

import json
import re
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dvc_render.vega import VegaRenderer
from matplotlib.text import Text
from PIL import Image

from adapt.errors import UserError
from adapt.params import Backbone, Evaluate
from adapt.report import figures, runs, series, style, tables
from stages import page, report

ROOT = Path(__file__).parents[1]
PLOTS = {  # template: the columns that dvc.yaml names as x and y
    "accuracy": ("dataset", "accuracy"),
    "lengths": ("layer", "length"),
    "tokens": ("epoch", "tokens"),
    "loss": ("epoch", "loss"),
}
ASKED: dict[str, Any] = {
    "datasets": ["digits", "phosphor"],
    "methods": ["zero_shot", "uniform", "adapt"],
    "seeds": [1, 2, 3],
    "preset": "pocket",
    "backbone": "pocket",
    "shots": 16,
    "split": "test",
}
EPOCHS, START = 6, 4


def write_run(folder: Path, layers: int = 6, **made: Any) -> None:
    """A run as `evaluate` leaves it, of made-up numbers that depend on its names only."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([ord(letter) for letter in f"{made['dataset']}{made['method']}{made['seed']}"])
    places = pd.DataFrame(product(["text", "image"], range(layers)), columns=["branch", "layer"])
    steps = 60 + 5 * len(made["dataset"])
    tokens, pruned, trained = 2 * layers, made["method"] == "adapt", made["method"] != "zero_shot"
    start = START if pruned else 1 if trained else 0
    trace = places.loc[places.index.repeat(start)].sample(frac=1, random_state=rng) if pruned else places[:0]
    trace = trace.iloc[: len(trace) - tokens].assign(token=0, score=0.1)
    trace.insert(0, "step", 20 + 2 * np.arange(len(trace)) // 2)
    trace.insert(1, "epoch", trace["step"] // 10)
    trace.insert(2, "tokens_left", start * len(places) - 1 - np.arange(len(trace)))
    removed = trace.groupby(["branch", "layer"]).size().reindex(pd.MultiIndex.from_frame(places), fill_value=0)
    places.assign(length=start - removed.to_numpy()).to_csv(folder / "lengths.csv", index=False)
    trace.to_csv(folder / "trace.csv", index=False)
    epochs = np.arange(EPOCHS if trained else 0)
    loss = (1.5 + rng.random()) * np.exp(-epochs / 2) + 0.2 * rng.random(len(epochs))
    pd.DataFrame({
        "epoch": epochs, "lr": 0.01, "loss": loss, "cross_entropy": 0.8 * loss, "distill_text": 0.0,
        "distill_image": 0.0, "tokens": start * 2 * layers,
    }).to_csv(folder / "history.csv", index=False)  # fmt: skip
    accuracy = {"zero_shot": 0.4, "uniform": 0.7, "adapt": 0.72}.get(made["method"], 0.6) + 0.1 * rng.random() * trained
    metrics = {**made, "weights": "0123456789abcdef" * 4, "accuracy": accuracy, "images": 500, "trainable": 0}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "tokens": tokens * trained}))
    (folder / "cost.json").write_text(json.dumps({"seconds": 1.0, "steps": steps * trained}))


def write_runs(root: Path, layers: int = 6, **changed: Any) -> dict[str, Any]:
    """All the runs that are asked for; returns what to ask."""
    asked = {**ASKED, **changed}
    made = {name: asked[name] for name in ("preset", "backbone", "shots", "split")}
    for dataset, method, seed in product(asked["datasets"], asked["methods"], asked["seeds"]):
        folder = root / dataset / method / f"seed_{seed}"
        write_run(folder, layers, dataset=dataset, method=method, seed=seed, **made)
    return asked


def read(root: Path, **changed: Any) -> runs.Runs:
    return runs.read(root, **write_runs(root, **changed))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> runs.Runs:
    return read(tmp_path_factory.mktemp("runs"))


def edit_json(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def edit_csv(path: Path, row: int, column: str, value: Any) -> None:
    table = pd.read_csv(path).astype({column: object})
    table.loc[row, column] = value
    table.to_csv(path, index=False)


def table_of(text: str) -> dict[str, list[str]]:
    """The cells of a Markdown table by their row's name, without marks of emphasis."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {name.strip("*"): cells for name, *cells in rows}


# what is read


def test_reads_what_params_name_and_nothing_else(tmp_path: Path):
    asked = write_runs(tmp_path, methods=["zero_shot", "uniform", "adapt", "other"], seeds=[1, 2, 3, 4])
    some = runs.read(tmp_path, **{**asked, "methods": ["adapt", "zero_shot"], "seeds": [4, 2]})
    assert list(zip(some.results["dataset"], some.results["method"], some.results["seed"], strict=True)) == [
        (dataset, method, seed)
        for dataset in ("digits", "phosphor")
        for method in ("adapt", "zero_shot")
        for seed in (4, 2)
    ]


@pytest.mark.parametrize("name", ["metrics.json", "cost.json", "lengths.csv", "history.csv", "trace.csv"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path, name: str):
    asked = write_runs(tmp_path)
    path = tmp_path / "phosphor" / "adapt" / "seed_2" / name
    path.unlink()
    with pytest.raises(UserError) as caught:
        runs.read(tmp_path, **asked)
    assert str(caught.value) == f"{path} is missing; make it with `dvc repro evaluate@phosphor-adapt`"


def test_missing_seeds_are_told_together(tmp_path: Path):
    asked = write_runs(tmp_path)
    with pytest.raises(UserError, match=r"seed_7/metrics.json is missing.*evaluate@digits-zero_shot") as caught:
        runs.read(tmp_path, **{**asked, "seeds": [1, 7]})
    assert len(str(caught.value).splitlines()) == runs.SHOWN_PROBLEMS + 1
    assert str(caught.value).endswith("and 1 more runs")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "high", True])
def test_an_accuracy_that_is_no_number_is_refused(tmp_path: Path, value: Any):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "adapt" / "seed_3" / "metrics.json", accuracy=value)
    with pytest.raises(UserError, match=r"digits/adapt/seed_3/metrics.json has accuracy .*evaluate@digits-adapt"):
        runs.read(tmp_path, **asked)


@pytest.mark.parametrize("value", ["nan", "inf", "", "low"])
def test_a_loss_that_is_no_number_is_refused(tmp_path: Path, value: str):
    asked = write_runs(tmp_path)
    edit_csv(tmp_path / "digits" / "adapt" / "seed_3" / "history.csv", 2, "loss", value)
    with pytest.raises(UserError, match=r"history.csv has loss .* in row 3 of the data.*evaluate@digits-adapt"):
        runs.read(tmp_path, **asked)


@pytest.mark.parametrize(("name", "value"), [("shots", 8), ("preset", "paper"), ("backbone", "b"), ("split", "val")])
def test_a_run_made_under_other_params_is_refused(tmp_path: Path, name: str, value: Any):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "uniform" / "seed_1" / "metrics.json", **{name: value})
    told = f"has {name} {value!r}, the params say {asked[name]!r}; make it again with `dvc repro evaluate@digits-"
    with pytest.raises(UserError, match=re.escape(told)):
        runs.read(tmp_path, **asked)


def test_runs_of_two_backbones_are_not_mixed(tmp_path: Path):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "uniform" / "seed_1" / "metrics.json", weights="f" * 64)
    with pytest.raises(UserError, match="other backbone weights, ffffffffff"):
        runs.read(tmp_path, **asked)


# the table


def test_accuracy_has_a_row_per_run(found: runs.Runs):
    table = tables.accuracy(found)
    assert list(table) == ["preset", "dataset", "method", "seed", "shots", "accuracy", "tokens"]
    assert len(table) == 2 * 3 * 3


def test_markdown_shows_the_mean_and_deviation_of_the_rows(found: runs.Runs):
    shown, table = table_of(tables.markdown(found)), tables.accuracy(found)
    seeds = table.query("dataset == 'phosphor' and method == 'adapt'")["accuracy"].to_numpy()
    expected = f"{100 * seeds.mean():.2f} ± {100 * seeds.std(ddof=1):.2f}"
    assert shown["phosphor"][shown["dataset"].index("`adapt`")].strip("*") == expected


def test_average_deviates_as_the_seeds_averages_do(found: runs.Runs):
    shown, table = table_of(tables.markdown(found)), tables.accuracy(found)
    seeds = table.query("method == 'uniform'").groupby("seed")["accuracy"].mean()
    expected = f"{100 * seeds.mean():.2f} ± {100 * seeds.std():.2f}"
    assert shown["average"][shown["dataset"].index("`uniform`")].strip("*") == expected


def test_the_best_of_a_row_is_bold(found: runs.Runs):
    shown = table_of(tables.markdown(found))
    for dataset in ("digits", "phosphor"):
        means = [float(cell.strip("*").split()[0]) for cell in shown[dataset]]
        assert [cell.startswith("**") for cell in shown[dataset]] == [mean == max(means) for mean in means]


def test_one_seed_has_no_deviation(tmp_path: Path):
    text = tables.markdown(read(tmp_path, seeds=[2]))
    assert all("± –" in cell for cell in table_of(text)["digits"])
    assert "nan" not in text


def test_pocket_never_passes_for_the_paper(found: runs.Runs, tmp_path: Path):
    assert "**Pocket preset: not the paper's numbers.**" in tables.markdown(found)
    assert "not the paper's" not in tables.markdown(read(tmp_path, preset="paper"))


def test_another_split_than_test_is_said_loudly(tmp_path: Path):
    assert "**Measured on the val split (evaluate.split): not test accuracy.**" in tables.markdown(
        read(tmp_path, split="val")
    )


def test_header_says_with_what_it_was_made(found: runs.Runs):
    header = "Pocket preset, backbone pocket, weights 0123456789, 16 shots, seeds 1, 2, 3, test split."
    assert header in tables.markdown(found)


def test_reading_gives_the_paired_difference_and_its_error(tmp_path: Path):
    asked = write_runs(tmp_path, datasets=["digits"], methods=["uniform", "adapt"])
    for method, accuracies in {"uniform": (0.70, 0.72, 0.74), "adapt": (0.71, 0.74, 0.77)}.items():
        for seed, accuracy in zip(asked["seeds"], accuracies, strict=True):
            edit_json(tmp_path / "digits" / method / f"seed_{seed}" / "metrics.json", accuracy=accuracy)
    text = tables.markdown(runs.read(tmp_path, **asked))  # differences 1, 2, 3: mean 2, error 1/sqrt(3)
    assert "On the average `adapt` is ahead of `uniform` by 2.00 ± 0.58." in text


def test_reading_admits_a_defeat_and_a_doubt(tmp_path: Path):
    asked = write_runs(tmp_path, datasets=["digits"], seeds=[1, 2])
    for method, accuracies in {"zero_shot": (0.5, 0.5), "uniform": (0.5, 0.56), "adapt": (0.4, 0.6)}.items():
        for seed, accuracy in zip(asked["seeds"], accuracies, strict=True):
            edit_json(tmp_path / "digits" / method / f"seed_{seed}" / "metrics.json", accuracy=accuracy)
    text = tables.markdown(runs.read(tmp_path, **asked))
    assert "On the average `adapt` is level with `zero_shot`." in text
    assert "On the average `adapt` is **behind** `uniform` by 3.00 ± 7.00 (within two standard errors)." in text
    assert "`adapt` is ahead of `zero_shot` on 0 of 1 dataset: digits +0.00 ± 10.00." in text


def test_metrics_hold_the_means(found: runs.Runs):
    values, table = tables.metrics(found), tables.accuracy(found)
    for method in ASKED["methods"]:
        rows = table[table["method"] == method]
        assert values["accuracy"]["average"][method] == pytest.approx(rows["accuracy"].mean(), abs=1e-6)
        assert values["tokens"][method] == rows["tokens"].mean()
    assert (values["preset"], values["backbone"], values["weights"]) == ("pocket", "pocket", "0123456789")


# the series behind the plots


def test_tokens_go_from_the_start_to_what_is_kept(found: runs.Runs):
    table = series.tokens(found)
    for _, part in table.groupby(["dataset", "branch"]):
        assert part["tokens"].is_monotonic_decreasing
        assert part["epoch"].iloc[[0, -1]].tolist() == [0, EPOCHS]
    both = table[table["branch"] == "both"].groupby("dataset")["tokens"]
    assert set(both.first()) == {2 * 6 * START}
    assert set(both.last()) == {2 * 6}


def test_tokens_after_a_pruning_are_those_of_the_trace(found: runs.Runs):
    left = series.tokens(found).query("dataset == 'digits' and branch == 'both'").set_index("step")["tokens"]
    trace = found.trace.query("dataset == 'digits' and seed == 1").groupby("step")["tokens_left"].min()
    pd.testing.assert_series_equal(left.loc[trace.index], trace.astype(float), check_names=False)


def test_lengths_are_of_methods_that_remove_tokens(found: runs.Runs):
    table = series.lengths(found)
    assert set(table["method"]) == {"adapt"}
    assert table.groupby("dataset")["length"].sum().round(6).eq(12).all()


# figures


SIZES: dict[str, dict[str, Any]] = {
    "pocket": {},
    "one": {"datasets": ["digits"], "methods": ["adapt"], "seeds": [1]},
    "nothing_pruned": {"methods": ["zero_shot"]},
    "paper": {
        "datasets": [f"dataset_number_{at}" for at in range(11)],
        "methods": ["zero_shot", *(f"method_{at}" for at in range(14)), "adapt"],
        "seeds": [1],
    },
}


@pytest.fixture(scope="module", params=SIZES)
def of_any_size(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> runs.Runs:
    return read(tmp_path_factory.mktemp(request.param), **SIZES[request.param])


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figure_is_drawn_and_nothing_is_cut_off(of_any_size: runs.Runs, name: str, tmp_path: Path):
    figure = figures.FIGURES[name](of_any_size)
    figure.savefig(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == tuple(round(float(inches) * style.DPI) for inches in figure.get_size_inches())
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20  # more than an empty sheet: text has soft edges
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0
    assert any(text.get_text().startswith(of_any_size.stamp) for text in figure.findobj(Text) if isinstance(text, Text))


# Vega


def fill(name: str, table: pd.DataFrame, revisions: list[str]) -> dict[str, Any]:
    """The template with data as DVC fills it: all values as text, one copy of the rows per revision."""
    cells = table.astype(str).to_dict("records")
    rows = [{**row, "rev": revision} for revision in revisions for row in cells]
    x, y = PLOTS[name]
    renderer = VegaRenderer(rows, name, template=name, template_dir=ROOT / ".dvc/plots", x=x, y=y, title=name)
    return renderer.get_filled_template()


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("revisions", [["workspace"], ["workspace", "HEAD"]], ids=["show", "diff"])
def test_vega_template_draws(found: runs.Runs, name: str, revisions: list[str]):
    vl_convert = pytest.importorskip("vl_convert")
    table = series.by_name(found)[name]
    picture = vl_convert.vegalite_to_png(json.dumps(fill(name, table, revisions)), vl_version=page.VEGA_LITE)
    with Image.open(BytesIO(picture)) as image:
        assert image.width > 300
        assert image.height > 130 * len(revisions)
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50


@pytest.mark.parametrize("name", PLOTS)
def test_vega_template_uses_columns_that_exist(found: runs.Runs, name: str):
    table = series.by_name(found)[name]
    assert set(PLOTS[name]) <= set(table)
    text = (ROOT / f".dvc/plots/{name}.json").read_text()
    made_here = set(re.findall(r'"as": "(\w+)"', text))
    used = set(re.findall(r'"field": "(\w+)"', text)) | set(re.findall(r"datum\.(\w+)", text)) - {"value", "rev"}
    assert used <= set(table) | made_here


def test_vega_templates_share_the_figures_colours():
    first, rest = style.COLOURS[0], style.COLOURS[1:]
    expected = {"accuracy": [first, *rest], "tokens": [*rest, first], "loss": [*rest, first]}
    for name, colours in expected.items():
        text = (ROOT / f".dvc/plots/{name}.json").read_text()
        assert re.findall(r"#[0-9a-f]{6}", text.partition('"range"')[2].partition("]")[0]) == colours


def test_page_is_whole_and_needs_no_network():
    text = (ROOT / ".dvc/plots/page.html").read_text()
    assert not re.findall(r"<script[^>]*\bsrc\b", text)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text)
    assert "{plot_divs}" in text
    assert "{refresh_tag}" in text
    assert "{scripts}" not in text
    assert "window.vegaEmbed" in text


# the stage


def report_on(asked: dict[str, Any]) -> None:
    names = ("preset", "shots", "seeds", "datasets", "methods")
    backbone = Backbone.model_construct(name=asked["backbone"], pretrained="")
    split = Evaluate.model_construct(split=asked["split"], batch=1)
    report.main(**{name: asked[name] for name in names}, backbone=backbone, evaluate=split)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_stage_writes_all_of_reports_and_the_same_bytes_again(project: Path):
    asked = write_runs(Path("runs"))
    report_on(asked)
    first = files(project / "reports")
    assert list(first) == [
        *(f"figures/{name}.png" for name in sorted(figures.FIGURES)),
        "metrics.json",
        *(f"plots/{name}.csv" for name in sorted(PLOTS)),
        "tables/accuracy.csv",
        "tables/accuracy.md",
    ]
    report_on(asked)
    assert files(project / "reports") == first


def test_a_failure_leaves_the_old_report(project: Path, monkeypatch: pytest.MonkeyPatch):
    asked = write_runs(Path("runs"))
    report_on(asked)
    before = files(project / "reports")
    edit_json(Path("runs/digits/adapt/seed_1/metrics.json"), accuracy=0.99)
    monkeypatch.setitem(figures.FIGURES, "overview", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report_on(asked)
    assert files(project / "reports") == before
