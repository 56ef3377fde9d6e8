"""The report: its input and refusals, its tables, and the files the stage writes."""

import csv
import json
import re
import shutil
import statistics
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adapt.config import BackboneConfig, EvaluateConfig
from adapt.errors import UserError
from adapt.report import (
    aggregate,
    figures,
    load,
    per_class,
    plot_data,
    published,
    studies,
    style,
    summary_text,
    tables,
)
from stages import report
from tests.fake_runs import ASKED, EPOCHS, START, edit_csv, edit_json, read, write_runs, write_study
from tests.report.test_figures import PLOTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> load.Runs:
    return read(tmp_path_factory.mktemp("runs"))


def table_of(text: str) -> dict[str, list[str]]:
    """The cells of a Markdown table by their row's name."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return {name: [cell.strip() for cell in cells] for name, *cells in rows}


# what is read


def test_reads_what_params_name_and_nothing_else(tmp_path: Path):
    asked = write_runs(tmp_path, methods=["zero_shot", "uniform", "adapt", "other"], seeds=[1, 2, 3, 4])
    some = load.read(tmp_path, **{**asked, "methods": ["adapt", "zero_shot"], "seeds": [4, 2]})
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
    some = load.read(tmp_path, **asked)
    assert some.missing == [f"{path} is missing; make it with `dvc repro evaluate@phosphor-adapt`"]
    assert len(some.results) == 17
    assert "1 of 18 runs are missing: cells that need them are empty" in some.warnings


def test_a_report_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"seed_1/metrics.json is missing.*evaluate@digits-zero_shot") as caught:
        load.read(tmp_path, **ASKED)
    assert len(str(caught.value).splitlines()) == load.SHOWN_PROBLEMS + 1
    assert str(caught.value).endswith("and 13 more runs")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "high", True])
def test_an_accuracy_that_is_no_number_counts_as_missing(tmp_path: Path, value: Any):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "adapt" / "seed_3" / "metrics.json", accuracy=value)
    (told,) = load.read(tmp_path, **asked).missing
    assert re.search(r"digits/adapt/seed_3/metrics.json has accuracy .*evaluate@digits-adapt", told)


def test_a_tuned_method_that_guesses_is_named(tmp_path: Path):
    asked = write_runs(tmp_path)
    for method, seed in (("adapt", 1), ("adapt", 3), ("zero_shot", 1)):  # zero_shot has learned nothing anyway
        edit_json(tmp_path / "digits" / method / f"seed_{seed}" / "metrics.json", at_chance=True)
    warnings = load.read(tmp_path, **asked).warnings
    assert "no better than guessing, so nothing was learned: adapt on digits, seed 1, 3" in warnings


@pytest.mark.parametrize("value", ["nan", "inf", "", "low"])
def test_a_run_whose_loss_is_no_number_counts_as_missing(tmp_path: Path, value: str):
    asked = write_runs(tmp_path)
    edit_csv(tmp_path / "digits" / "adapt" / "seed_3" / "history.csv", 2, "loss", value)
    (told,) = load.read(tmp_path, **asked).missing
    assert re.search(r"history.csv has loss .* in row 3 of the data.*evaluate@digits-adapt", told)


@pytest.mark.parametrize("value", [None, "much", float("nan")])
def test_a_cost_that_was_not_measured_is_no_reason_to_leave_a_run_out(tmp_path: Path, value: Any):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "adapt" / "seed_3" / "cost.json", memory_mb=value)
    some = load.read(tmp_path, **asked)
    assert not some.missing
    assert some.results["memory_mb"].isna().all()


@pytest.mark.parametrize(("name", "value"), [("shots", 8), ("preset", "paper"), ("backbone", "b"), ("split", "val")])
def test_a_run_made_under_other_params_is_refused(tmp_path: Path, name: str, value: Any):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "uniform" / "seed_1" / "metrics.json", **{name: value})
    told = f"has {name} {value!r}, the params say {asked[name]!r}; make it again with `dvc repro evaluate@digits-"
    with pytest.raises(UserError, match=re.escape(told)):
        load.read(tmp_path, **asked)


def test_runs_of_two_backbones_are_not_mixed(tmp_path: Path):
    asked = write_runs(tmp_path)
    edit_json(tmp_path / "digits" / "uniform" / "seed_1" / "metrics.json", weights="f" * 64)
    with pytest.raises(UserError, match="other backbone weights, ffffffffff"):
        load.read(tmp_path, **asked)


# the tables: every number in Markdown is that of the CSV file beside it


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of tables that the stage writes.

    One run is missing, and one study is gathered.
    """
    folder = tmp_path_factory.mktemp("written")
    asked = write_runs(folder / "runs", methods=METHODS, datasets=["digits", "mnist", "phosphor"])
    (folder / "runs" / "mnist" / "coop" / "seed_2" / "metrics.json").unlink()
    with chdir(folder):
        prepare(folder)
        write_study(folder / "reports/studies", "distill", datasets=asked["datasets"])
        report_on(asked)
    return folder / "reports" / "tables"


METHODS = ["zero_shot", "coop", "maple", "uniform", "adapt"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def show(values: list[str]) -> str:
    """Format mean ± sample standard deviation in percent; empty if a value is missing.

    The values are texts from a CSV file.
    """
    if not all(values):
        return ""
    numbers = [100 * float(value) for value in values]
    return f"{statistics.mean(numbers):.2f} ± {statistics.stdev(numbers):.2f}"


def test_accuracy_in_markdown_is_that_of_the_csv(written: Path):
    rows, shown = rows_of(written / "accuracy.csv"), table_of((written / "accuracy.md").read_text(encoding="utf-8"))
    *datasets, average, rank = shown.pop("method")
    assert (datasets, average, rank, list(shown)) == (["digits", "mnist", "phosphor"], "average", "mean rank", METHODS)
    of = {(row["method"], row["dataset"], row["seed"]): row["accuracy"] for row in rows}
    for method, cells in shown.items():
        by_seed = [[of[method, dataset, seed] for dataset in datasets] for seed in "123"]
        expected = [show([accuracies[at] for accuracies in by_seed]) for at in range(3)]
        whole = all(all(accuracies) for accuracies in by_seed)
        expected += [show([str(statistics.mean(map(float, a))) for a in by_seed])] if whole else [""]
        assert [cell.strip("*") for cell in cells[:4]] == expected
    assert shown["coop"][1] == shown["coop"][3] == shown["coop"][4] == ""


def test_rank_in_markdown_is_that_of_the_csv(written: Path):
    rows, shown = rows_of(written / "accuracy.csv"), table_of((written / "accuracy.md").read_text(encoding="utf-8"))
    whole = [method for method in METHODS if method != "coop"]  # a method that is not whole has no rank and takes none
    ranks: dict[str, list[int]] = {method: [] for method in whole}
    for dataset in ("digits", "mnist", "phosphor"):
        means = {
            method: statistics.mean(
                float(row["accuracy"]) for row in rows if (row["method"], row["dataset"]) == (method, dataset)
            )
            for method in whole
        }
        for at, method in enumerate(sorted(whole, key=lambda name: -means[name]), 1):
            ranks[method].append(at)
    assert {method: shown[method][4].strip("*") for method in whole} == {
        method: f"{statistics.mean(places):.2f}" for method, places in ranks.items()
    }


def test_differences_in_markdown_are_those_of_the_csv(written: Path):
    rows, text = rows_of(written / "accuracy.csv"), (written / "accuracy.md").read_text(encoding="utf-8")

    def average(method: str, seed: str) -> float:
        return statistics.mean(float(r["accuracy"]) for r in rows if (r["method"], r["seed"]) == (method, seed))

    found = re.findall(
        r"- On the average `adapt` is (?:ahead of|\*\*behind\*\*) `(\w+)` by (\d+\.\d+) ± (\d+\.\d+)", text
    )
    assert [name for name, *_ in found] == ["zero_shot", "maple", "uniform"]
    for baseline, difference, error in found:
        gaps = [100 * (average("adapt", seed) - average(baseline, seed)) for seed in "123"]
        assert float(difference) == pytest.approx(abs(statistics.mean(gaps)), abs=0.006)
        assert float(error) == pytest.approx(statistics.stdev(gaps) / 3**0.5, abs=0.006)
    assert "On the average `adapt` is not compared with `coop`: runs are missing." in text


def test_cost_in_markdown_is_that_of_the_csv(written: Path):
    rows, shown = rows_of(written / "cost.csv"), table_of((written / "cost.md").read_text(encoding="utf-8"))
    shown.pop("method")
    for method, cells in shown.items():
        for column, cell in zip(aggregate.COSTS[:-1], cells[:-1], strict=True):
            values = [row[column] for row in rows if row["method"] == method]
            if all(values):
                assert float(cell.replace(",", "")) == pytest.approx(statistics.mean(map(float, values)), abs=0.5)
            else:
                assert cell == ""
    assert shown["coop"] == [""] * 7
    assert shown["zero_shot"][-3:] == ["", "", ""]  # no steps, so neither time nor FLOPs; nobody measured memory


def test_significance_in_markdown_is_that_of_the_csv(written: Path):
    rows, shown = (
        rows_of(written / "significance.csv"),
        table_of((written / "significance.md").read_text(encoding="utf-8")),
    )
    assert [row["baseline"] for row in rows] == [method for method in METHODS if method != "adapt"]
    for row in rows:
        pairs, gain, interval, effect, p, corrected = shown[row["baseline"]]
        assert pairs == f"{row['pairs']} ({row['nonzero']})"
        assert [effect, p, corrected] == [
            f"{float(row['effect']):+.2f}",
            f"{float(row['p']):.4f}",
            f"{float(row['p_holm']):.4f}",
        ]
        if row["gain"]:
            assert gain == f"{100 * float(row['gain']):+.2f}"
            assert interval == f"{100 * float(row['low']):+.2f} to {100 * float(row['high']):+.2f}"
        else:
            assert (row["baseline"], gain, interval) == ("coop", "", "")


def test_study_in_markdown_is_that_of_the_csv(written: Path):
    rows, shown = rows_of(written / "distill.csv"), table_of((written / "distill.md").read_text(encoding="utf-8"))
    kinds = shown.pop("method")
    assert kinds == ["none", "l1", "kl", "angular", "pairwise"]
    for method, cells in shown.items():
        for kind, cell in zip(kinds, cells, strict=True):
            by_seed = [
                statistics.mean(
                    float(row["accuracy"]) for row in rows
                    if (row["method"], row["distill.kind"], row["seed"]) == (method, kind, seed)
                )
                for seed in "123"
            ]  # fmt: skip
            assert cell.strip("*") == show([str(value) for value in by_seed])


@pytest.mark.parametrize("name", ["accuracy", "cost", "significance", "distill"])
def test_latex_shows_the_same_numbers_as_markdown(written: Path, name: str):
    shown = table_of((written / f"{name}.md").read_text(encoding="utf-8"))
    text = (written / f"{name}.tex").read_text(encoding="utf-8")
    body = text[text.index("\\midrule") : text.index("\\bottomrule")].replace("$\\pm$", "±").replace("$<$", "<")
    lines = [line.removesuffix(" \\\\").split(" & ") for line in body.splitlines()[1:] if line.strip()]
    plain = {
        cells[0]: [
            re.sub(r"\\textbf\{(.*)\}", r"\1", cell).replace("$\\pm$", "±").replace("$<$", "<") for cell in cells[1:]
        ]
        for cells in lines
    }
    shown.pop("method", None), shown.pop("baseline", None)
    assert plain == {key.replace("_", "\\_"): [cell.strip("*") for cell in cells] for key, cells in shown.items()}
    assert text.count("\\begin") == text.count("\\end") == 2
    assert "not the paper" in text


def test_the_best_of_a_column_is_bold(written: Path):
    shown = table_of((written / "accuracy.md").read_text(encoding="utf-8"))
    shown.pop("method")
    for column, best in ((0, max), (3, max), (4, min)):
        numbers = {
            method: float(cells[column].strip("*").split()[0]) for method, cells in shown.items() if cells[column]
        }
        bold = {method for method, cells in shown.items() if cells[column].startswith("**")}
        assert bold == {method for method, number in numbers.items() if number == best(numbers.values())}


def test_an_average_is_never_over_other_datasets(tmp_path: Path):
    asked = write_runs(tmp_path)
    shutil.rmtree(tmp_path / "digits" / "uniform")
    some = load.read(tmp_path, **asked)
    assert table_of(tables.accuracy(some).render("md"))["uniform"] == [
        "",
        *table_of(tables.accuracy(some).render("md"))["uniform"][1:2],
        "",
        "",
    ]
    assert aggregate.metrics(some)["accuracy"]["average"]["uniform"] is None
    assert json.loads(json.dumps(aggregate.metrics(some), allow_nan=False))["missing"] == 3


def test_one_seed_has_no_deviation(tmp_path: Path):
    text = tables.accuracy(read(tmp_path, seeds=[2])).render("md")
    assert all("± –" in cell for cell in table_of(text)["adapt"][:3])
    assert "nan" not in text


def test_pocket_never_passes_for_the_paper(found: load.Runs, tmp_path: Path):
    assert "**Pocket preset: not the paper's numbers.**" in tables.accuracy(found).render("md")
    assert "not the paper's" not in tables.accuracy(read(tmp_path, preset="paper")).render("md")


def test_another_split_than_test_is_said_loudly(tmp_path: Path):
    text = tables.accuracy(read(tmp_path, split="val")).render("md")
    assert "**Measured on the val split (evaluate.split): not test accuracy.**" in text


def test_header_says_with_what_it_was_made(found: load.Runs):
    header = "Pocket preset, backbone pocket, weights 0123456789, 16 shots, seeds 1, 2, 3, test split."
    assert header in tables.accuracy(found).render("md")


def test_reading_gives_the_paired_difference_and_its_error(tmp_path: Path):
    asked = write_runs(tmp_path, datasets=["digits"], methods=["uniform", "adapt"])
    for method, accuracies in {"uniform": (0.70, 0.72, 0.74), "adapt": (0.71, 0.74, 0.77)}.items():
        for seed, accuracy in zip(asked["seeds"], accuracies, strict=True):
            edit_json(tmp_path / "digits" / method / f"seed_{seed}" / "metrics.json", accuracy=accuracy)
    lines = summary_text.accuracy(load.read(tmp_path, **asked))  # differences 1, 2, 3: mean 2, error 1/sqrt(3)
    assert "On the average `adapt` is ahead of `uniform` by 2.00 ± 0.58." in lines


def test_reading_admits_a_defeat_and_a_doubt(tmp_path: Path):
    asked = write_runs(tmp_path, datasets=["digits"], seeds=[1, 2])
    for method, accuracies in {"zero_shot": (0.5, 0.5), "uniform": (0.5, 0.56), "adapt": (0.4, 0.6)}.items():
        for seed, accuracy in zip(asked["seeds"], accuracies, strict=True):
            edit_json(tmp_path / "digits" / method / f"seed_{seed}" / "metrics.json", accuracy=accuracy)
    lines = summary_text.accuracy(load.read(tmp_path, **asked))
    assert "On the average `adapt` is level with `zero_shot`." in lines
    assert "On the average `adapt` is **behind** `uniform` by 3.00 ± 7.00 (within two standard errors)." in lines
    assert "`adapt` is ahead of `zero_shot` on 0 of 1 dataset: digits +0.00 ± 10.00." in lines


def test_too_few_pairs_are_said_in_words(tmp_path: Path):
    one = tables.significance(read(tmp_path / "one", datasets=["digits"], seeds=[1, 2]))
    assert one.reading == ["Too few pairs against `zero_shot`, `uniform`: with 2 that differ, p cannot be below 0.5."]
    many = tables.significance(read(tmp_path / "many", methods=["a", "b", "c", "adapt"], seeds=[1, 2, 3]))
    assert "Too few pairs against `a`, `b`, `c` for 3 tests" in " ".join(many.reading)


def test_metrics_hold_the_means(found: load.Runs):
    values, table = aggregate.metrics(found), aggregate.accuracy(found)
    for method in ASKED["methods"]:
        rows = table[table["method"] == method]
        assert values["accuracy"]["average"][method] == pytest.approx(rows["accuracy"].mean(), abs=1e-6)
        assert values["tokens"][method] == rows["tokens"].mean()
    assert (values["preset"], values["backbone"], values["weights"]) == ("pocket", "pocket", "0123456789")


# the series behind the plots


def test_tokens_go_from_the_start_to_what_is_kept(found: load.Runs):
    table = plot_data.tokens(found)
    for _, part in table.groupby(["dataset", "branch"]):
        assert part["tokens"].is_monotonic_decreasing
        assert part["epoch"].iloc[[0, -1]].tolist() == [0, EPOCHS]
    both = table[table["branch"] == "both"].groupby("dataset")["tokens"]
    assert set(both.first()) == {2 * 6 * START}
    assert set(both.last()) == {2 * 6}


def test_tokens_after_a_pruning_are_those_of_the_trace(found: load.Runs):
    left = plot_data.tokens(found).query("dataset == 'digits' and branch == 'both'").set_index("step")["tokens"]
    trace = found.trace.query("dataset == 'digits' and seed == 1").groupby("step")["tokens_left"].min()
    pd.testing.assert_series_equal(left.loc[trace.index], trace.astype(float), check_names=False)


def test_lengths_are_of_methods_that_remove_tokens(found: load.Runs):
    table = plot_data.lengths(found)
    assert set(table["method"]) == {"adapt"}
    assert list(table["dataset"].unique()) == ["digits", "phosphor", "average"]
    assert table.groupby("dataset")["length"].sum().round(6).eq(12).all()


def test_gain_is_over_the_baseline_that_is_best_there(found: load.Runs):
    table, rows = plot_data.gain(found), aggregate.accuracy(found)
    means = rows.groupby(["dataset", "method"])["accuracy"].mean()
    for dataset in ASKED["datasets"]:
        row = table.set_index("dataset").loc[dataset]
        assert row["baseline"] == means[dataset].drop("adapt").idxmax()
        assert row["gain"] == pytest.approx(means[dataset]["adapt"] - means[dataset].drop("adapt").max())


def test_classes_are_counted_over_all_seeds(tmp_path: Path):
    asked = write_runs(tmp_path / "runs", datasets=["digits"], methods=["uniform", "adapt"], seeds=[1, 2])
    for seed, rows in {1: [(0, 0), (0, 1), (1, 1)], 2: [(0, 0), (0, 0), (1, 0)]}.items():
        path = tmp_path / "runs" / "digits" / "adapt" / f"seed_{seed}" / "predictions.csv"
        pd.DataFrame([("p", *row) for row in rows], columns=["path", "label", "prediction"]).to_csv(path, index=False)
        path = tmp_path / "runs" / "digits" / "uniform" / f"seed_{seed}" / "predictions.csv"
        pd.DataFrame([("p", 0, 0), ("p", 1, 0)], columns=["path", "label", "prediction"]).to_csv(path, index=False)
    (tmp_path / "names/digits").mkdir(parents=True)
    (tmp_path / "names/digits/dataset.json").write_text(json.dumps({"classes": ["zero", "one"]}), encoding="utf-8")
    by_class = per_class.read(load.read(tmp_path / "runs", **asked), tmp_path / "names")
    assert by_class is not None
    assert (by_class.dataset, by_class.baseline, by_class.names) == ("digits", "uniform", ["zero", "one"])
    assert by_class.confusion.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert by_class.gain.tolist() == [-0.25, 0.5]


# the stage


def report_on(asked: dict[str, Any]) -> None:
    names = ("preset", "shots", "seeds", "datasets", "methods")
    backbone = BackboneConfig.model_construct(name=asked["backbone"], pretrained="")
    split = EvaluateConfig.model_construct(split=asked["split"], batch=1)
    report.main(**{name: asked[name] for name in names}, backbone=backbone, evaluate=split)


def prepare(folder: Path) -> None:
    """What the stage reads beside the runs."""
    for name in ("reports/published.yaml", "conf/studies.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(style, "DPI", 40)  # most of the time goes into dots
    prepare(tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_stage_writes_all_of_reports_and_the_same_bytes_again(project: Path):
    asked = write_runs(Path("runs"))
    report_on(asked)
    first = files(project / "reports")
    assert list(first) == [
        *(f"figures/{name}.png" for name in sorted(figures.FIGURES)),
        "index.html",
        "metrics.json",
        *(f"plots/{name}.csv" for name in sorted(PLOTS)),
        "published.yaml",
        *(f"tables/{name}.{form}" for name in ("accuracy", "cost", "significance") for form in ("csv", "md", "tex")),
    ]
    report_on(asked)
    assert files(project / "reports") == first


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"datasets": ["digits"], "methods": ["adapt"], "seeds": [1]}, None),
        ({"methods": ["zero_shot"], "seeds": [1]}, None),
        ({"seeds": [1]}, "*/adapt"),
        ({"seeds": [1]}, "*/*/*/predictions.csv"),
    ],
    ids=["one run", "nothing tuned", "ours missing", "no predictions"],
)
def test_stage_reports_what_there_is(project: Path, changed: dict[str, Any], gone: str | None):
    asked = write_runs(Path("runs"), **changed)
    for path in Path("runs").glob(gone) if gone else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    report_on(asked)
    texts = [
        path.read_text(encoding="utf-8")
        for path in Path("reports").rglob("*")
        if path.suffix in (".md", ".tex", ".html")
    ]
    assert len(texts) >= 5
    assert not any(re.search(r"\bnan\b|None|0 of 0", text) for text in texts)


def test_a_failure_leaves_the_old_report(project: Path, monkeypatch: pytest.MonkeyPatch):
    asked = write_runs(Path("runs"))
    report_on(asked)
    before = files(project / "reports")
    edit_json(Path("runs/digits/adapt/seed_1/metrics.json"), accuracy=0.99)
    broken = figures.FIGURES["overview"]._replace(draw=lambda _: 1 / 0)
    monkeypatch.setitem(figures.FIGURES, "overview", broken)
    with pytest.raises(ZeroDivisionError):
        report_on(asked)
    assert files(project / "reports") == before


# the page


class Page(HTMLParser):
    """The links of a page, its text, and whether its elements close."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value).split()[0] for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_links_only_to_what_lies_beside_it(project: Path):
    asked = write_runs(Path("runs"))
    write_study(Path("reports/studies"), "budget")
    report_on(asked)
    found = Page(Path("reports/index.html").read_text(encoding="utf-8"))
    assert not found.open
    local = [link for link in found.links if not link.startswith("#")]
    assert "figures/overview.png" not in local  # it repeats others, for the README
    assert {"figures/accuracy.png", "figures/budget.png", "figures/pruning.png", "tables/cost.tex"} <= set(local)
    assert all((Path("reports") / link).is_file() for link in local)


def test_page_says_what_is_missing_and_what_was_not_run(project: Path):
    asked = write_runs(Path("runs"))
    shutil.rmtree("runs/digits/uniform")
    write_study(Path("reports/studies"), "budget")
    edit_json(Path("reports/studies/budget.json"), experiments=[{"name": "a", "state": "failed", "seconds": 1.0}])
    report_on(asked)
    text = " ".join(Page(Path("reports/index.html").read_text(encoding="utf-8")).texts)
    assert "3 of 18 runs are missing: cells that need them are empty." in text
    assert "runs/digits/uniform/seed_1/metrics.json is missing; make it with" in text
    assert "not run yet:" in text and "make study-shots" in text
    assert "budget: reports/studies/budget.csv was made with other experiments" in text
    assert "Published numbers" not in text and "No published numbers are shown beside the measured ones" in text
    assert "nan" not in re.findall(r"\w+", text)


# published numbers


def test_published_averages_are_those_of_their_values():
    for result in published.read(ROOT / "reports/published.yaml")["results"]:
        values = list(result.get("by_dataset", {}).values())
        digits = 0.06 if "figure" in result["source"] else 0.015  # figures are read to one decimal
        assert not values or (
            len(values) == 11 and result["average"] == pytest.approx(statistics.mean(values), abs=digits)
        )


def test_published_numbers_name_sources_that_are_listed():
    facts = published.read(ROOT / "reports/published.yaml")
    entries = [*facts["results"], *facts["average_by_shots"], *facts["claims"]]
    assert {entry["source"] for entry in entries} <= set(facts["sources"])
    assert all(len(entry["averages"]) == len(facts["shots"]) for entry in facts["average_by_shots"])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "pocket preset"),
        ({"preset": "paper", "shots": 8}, "8 shots"),
        ({"preset": "paper", "split": "val"}, "val split"),
    ],
)
def test_published_numbers_stand_only_beside_comparable_ones(tmp_path: Path, changed: dict[str, Any], told: str):
    assert told in str(published.why_not(read(tmp_path, **changed)))


def test_published_numbers_stand_beside_the_papers_preset(tmp_path: Path):
    facts = published.read(ROOT / "reports/published.yaml")
    some = read(tmp_path, preset="paper", datasets=["eurosat", "dtd"], methods=["coop", "kgcoop", "adapt"])
    assert published.why_not(some) is None
    frame = published.beside(facts, some)
    texts = [[cell.text for cell in row] for row in published.show(facts, frame, some).rows]
    rows = {(method, kind): cells for method, kind, *cells in texts}
    assert rows["coop", "awt"] == ["84.93", "69.87", "79.89"]
    assert rows["kgcoop", "clip_svd"] == ["", "", "77.26"]
    assert ("maple", "measured here") not in rows
    means = aggregate.summary(aggregate.accuracy(some)).set_index(["method", "dataset"])["accuracy"]
    for method in ("coop", "kgcoop", "adapt"):
        expected = [f"{100 * means[method, dataset]:.2f}" for dataset in ("eurosat", "dtd", "average")]
        assert rows[method, "measured here"] == expected


def test_published_averages_by_shots_stand_beside_the_study(tmp_path: Path):
    facts = published.read(ROOT / "reports/published.yaml")
    some = read(tmp_path / "runs")
    table = write_study(tmp_path / "studies", "shots", ["coop", "adapt"])
    gathered = studies.read(some, tmp_path / "studies")[0]["shots"]
    shown = published.show_by_shots(facts, published.beside_by_shots(facts, gathered), some)
    rows = {(method, kind): cells for method, kind, *cells in ([cell.text for cell in row] for row in shown.rows)}
    assert rows["coop", "awt"] == ["67.56", "70.65", "74.02", "76.98", "79.89"]
    by_shots = table[table["method"] == "coop"].groupby("shots")["accuracy"].mean()
    assert rows["coop", "measured here"] == [f"{100 * value:.2f}" for value in by_shots]
    assert ("promptsrc", "measured here") not in rows
