"""The numbers in documents are those of the files that commands wrote."""

import csv
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from adapt import methods
from adapt.data.specs import JsonSplit, dataset_specs
from adapt.download.sources import download_specs
from adapt.download.status import download
from adapt.pipeline import method_configs, study
from adapt.pipeline.params import Params
from benchmarks import launches, miniature, paper, pocket, start, switches
from benchmarks.table import table

ROOT = Path(__file__).parents[1]


def read(path: str) -> list[dict[str, str]]:
    """The rows of a table in reports/."""
    with (ROOT / "reports" / path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_table_in_the_readme_is_the_reports():
    report = (ROOT / "reports/tables/accuracy.md").read_text(encoding="utf-8")
    rows = [line for line in report.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert "\n".join(rows) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("baseline", ["uniform", "promptsrc"])
def test_gain_in_the_readme_is_the_reports(baseline: str):
    report = (ROOT / "reports/tables/accuracy.md").read_text(encoding="utf-8")
    found = re.search(rf"- On the average `adapt` is (.+) `{baseline}` by ([0-9.]+ ± [0-9.]+)", report)
    assert found
    sign = "+" if found[1] == "ahead of" else "-"
    assert f"`{baseline}` ({sign}{found[2]}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_the_search_is_its_csv():
    document = (ROOT / "docs/pocket.md").read_text(encoding="utf-8")
    rows = read("search/uniform-adapt.csv")
    assert rows
    for row in rows:
        uniform, adapt, gain, error = (
            100 * float(row[name]) for name in ("uniform", "adapt", "gain", "standard_error")
        )  # fmt: skip
        assert f"| {uniform:.1f} | {adapt:.1f} | {gain:+.1f} ± {error:.1f} |" in document, row["settings"]


def test_best_setting_of_each_baseline_is_the_best_of_its_search():
    document = (ROOT / "docs/pocket.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "reports/search").glob("*.csv")):
        if path.stem in ("uniform-adapt", "pretrain"):  # of no one method
            continue
        rows = read(f"search/{path.name}")
        best = max(rows, key=lambda row: float(row[path.stem]))
        accuracy = 100 * float(best[path.stem])
        assert f"| `{path.stem}` | {len(rows)} | {best['settings']} | {accuracy:.1f} |" in document, path.stem


def searched(method: str) -> list[tuple[int, float]]:
    """Return each setting tried of a method: its epochs and its accuracy in percent.

    For clip_lora, iterations per shot take the place of epochs.
    """
    length = re.compile(r"optimizer\.(?:epochs|n_iters_per_shot)=(\d+)")
    rows = [(length.search(row["settings"]), row[method]) for row in read(f"search/{method}.csv")]
    return [(int(found[1]), 100 * float(share)) for found, share in rows if found]


def epochs_table() -> dict[str, list[str]]:
    """The cells of each method's row, `epochs: accuracy`, in docs/pocket.md."""
    _, _, table = (ROOT / "docs/pocket.md").read_text(encoding="utf-8").partition("| method | accuracy by epochs")
    rows = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines()[2:])
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name.strip("`"): [cell for cell in rest if cell] for name, *rest in cells}


def test_every_method_that_was_searched_by_epochs_is_in_the_table():
    searches = {path.stem for path in (ROOT / "reports/search").glob("*.csv")}
    assert set(epochs_table()) == searches - {"uniform-adapt", "pretrain", "zero_shot"}


@pytest.mark.parametrize("method", epochs_table())
def test_accuracy_by_epochs_is_that_of_its_search(method: str):
    said = {cell.strip("*") for cell in epochs_table()[method]}
    assert said <= {f"{epochs}: {share:.1f}" for epochs, share in searched(method)}


@pytest.mark.parametrize("method", epochs_table())
def test_epochs_in_use_are_the_best_of_their_search(method: str):
    epochs, share = max(searched(method), key=lambda tried: tried[1])
    assert f"**{epochs}: {share:.1f}**" in epochs_table()[method]
    params = Params(**YAML(typ="safe").load(ROOT / "params.yaml"))
    optimizer = method_configs.of_params(params, method, "digits").optimizer
    assert epochs == (optimizer.epochs or optimizer.n_iters_per_shot)


def test_comparison_of_the_presets_is_that_of_the_params():
    assert read(miniature.TABLE.name) == miniature.table()


def test_comparison_of_the_presets_is_quoted_as_it_was_made():
    document = (ROOT / "docs/pocket.md").read_text(encoding="utf-8")
    rows = [f"| {' | '.join(row.values())} |" for row in read(miniature.TABLE.name)]
    assert "\n".join(rows) in document


def test_accuracy_at_the_start_is_quoted_as_it_was_measured():
    document = (ROOT / "docs/pocket.md").read_text(encoding="utf-8")
    rows = pd.read_csv(start.TABLE, index_col="dataset")
    for place, shares in rows.items():
        assert f"| {place} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |" in document


def test_overlaps_in_the_card_are_their_record():
    card = " ".join((ROOT / "models/pocket.md").read_text(encoding="utf-8").split())
    rows = read("overlap.csv")
    seen, before = ([f"{100 * float(row[column]):.0f}" for row in rows] for column in ("all", "material"))
    assert [f"`{row['dataset']}`" for row in rows] == ["`phosphor`", "`remix`", "`fontawesome`"]
    assert "{} % of the drawings of `phosphor`, {} % of `remix` and {} % of `fontawesome`".format(*seen) in card
    assert "it would be {}, {} and {} %".format(*before) in card


def test_validation_scores_of_both_pocket_clips_in_the_card_are_their_record():
    card = (ROOT / "models/pocket.md").read_text(encoding="utf-8")
    scored = [row for row in read("search/pretrain.csv") if row["settings"].startswith("score=")]
    for name, row in zip(("before", "this one"), scored, strict=True):
        zero_shot, linear_probe = (f"{100 * float(row[column]):.1f}" for column in ("zero_shot", "linear_probe"))
        assert f"| {name} | {zero_shot} | {linear_probe} |" in card


def test_launches_are_quoted_as_they_were_counted():
    document = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    assert "\n".join(launches.table(read(launches.TABLE.name))) in document


def test_step_against_another_commit_is_its_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))["pocket"]["rows"]
    (row,) = [row for row in recorded if "revision" in row]
    document = " ".join((ROOT / "docs/speed.md").read_text(encoding="utf-8").split())
    assert f"the code of {row['revision']}," in document
    assert f"takes {row['milliseconds']} ms a step beside {row['ours']} ms by that at hand, {row['ratio']}." in document


def datasets_table() -> list[str]:
    kinds = {"json": "CoOp's file", "lists": "official lists", "folders": "official folders"}
    rows = []
    for name, entry in dataset_specs().items():
        amounts = [f"{amount:,}" if amount else "–" for amount in entry.sizes.model_dump().values()]
        cells = [f"`{name}`", str(entry.classes), *amounts, f"`{entry.template}`", kinds[entry.split.kind]]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def licences_table() -> list[str]:
    return [f"| `{name}` | {download(given)} | {given.licence} |" for name, given in download_specs().items()]


def layouts_table() -> list[str]:
    return [
        f"| `{name}` | `{entry.images[0]}` | {''.join(f'`{place}`' for place in entry.images[1:])} "
        f"| {f'`{entry.split.file}`' if isinstance(entry.split, JsonSplit) else ''} |"
        for name, entry in dataset_specs().items()
    ]


@pytest.mark.parametrize("table", [datasets_table, licences_table, layouts_table])
def test_table_of_datasets_is_the_catalogues(table: Callable[[], list[str]]):
    document = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in document


def methods_table() -> dict[str, list[str]]:
    """The rows of the first table of docs/methods.md by method."""
    lines = (ROOT / "docs/methods.md").read_text(encoding="utf-8").split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row for row in rows}


def test_table_of_the_methods_names_all():
    assert set(methods_table()) == set(methods.names())


def test_counts_in_the_table_of_the_methods_are_the_csvs():
    counted = {row["method"]: [row["trainable"], row["tokens"]] for row in read("methods.csv")}
    assert {name: row[2:4] for name, row in methods_table().items()} == counted


def test_pocket_table_of_the_methods_is_the_studys():
    """Accuracy and costs in the table are averages over runs.

    Accuracy is averaged over datasets, then mean ± standard deviation over seeds; costs are means over all runs.
    """
    runs = pd.read_csv(ROOT / "reports/studies/methods.csv")
    document = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    assert set(runs["method"]) == set(study.load(ROOT / "conf/studies.yaml")["methods"].methods or [])
    for method, part in runs.groupby("method"):
        accuracy = 100 * part.groupby("seed")["accuracy"].mean()
        cost = part[["trainable", "seconds", "memory_mb"]].mean()
        cells = f"{cost['trainable']:,.0f} | {cost['seconds']:.1f} | {cost['memory_mb']:.0f}"
        assert f"\n| `{method}` | {accuracy.mean():.2f} ± {accuracy.std():.2f} | {cells} |\n" in document


def test_every_tuned_method_is_above_zero_shot_on_the_pocket():
    runs = pd.read_csv(ROOT / "reports/studies/methods.csv")
    averages = runs.groupby("method")["accuracy"].mean()
    tuned = runs.groupby("method")["step_ms"].count() > 0
    assert averages[tuned].min() > averages["zero_shot"]


def test_table_of_the_benchmarks_is_their_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))
    assert "\n".join(table(recorded)) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_costs_of_the_paper_preset_are_their_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))["paper"]
    assert "\n".join(paper.table(recorded)) in (ROOT / "docs/paper.md").read_text(encoding="utf-8")


def test_ratios_of_the_switches_are_their_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))["switches"]
    assert "\n".join(switches.table(recorded)) in (ROOT / "docs/speed.md").read_text(encoding="utf-8")


def test_steps_of_the_pocket_are_their_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))["pocket"]
    assert "\n".join(pocket.table(recorded)) in (ROOT / "docs/speed.md").read_text(encoding="utf-8")


def test_cost_of_watching_is_its_record():
    recorded = json.loads((ROOT / "reports/benchmarks.json").read_text(encoding="utf-8"))["live"]["rows"]
    writing, importing = recorded
    document = " ".join((ROOT / "docs/live.md").read_text(encoding="utf-8").split())
    assert "takes {epoch_ms} ms, writing it {written_ms} ms, {percent} % of the fit".format(**writing) in document
    assert f"Importing DVCLive takes {importing['seconds']} s in a stage that starts cold" in document
    assert writing["percent"] < 1


def test_published_averages_in_the_table_of_the_methods_have_their_source():
    results = YAML(typ="safe").load(ROOT / "reports/published.yaml")["results"]
    known: dict[str, list[str]] = {}
    for result in results:
        known.setdefault(result["method"], []).append(f"{result['average']:.5g} ({result['source']})")
    for name, row in methods_table().items():
        assert row[4] == ", ".join(known.get(name, ["–"])), name
