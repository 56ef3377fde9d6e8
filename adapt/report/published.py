"""Published numbers (reports/published.yaml) beside the measured ones."""

from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from adapt.report import tables
from adapt.report.runs import Runs
from adapt.report.table import Cell, Table, rounded

FILE = Path("reports/published.yaml")
SHOTS = 16  # of the published results


def read(path: Path = FILE) -> dict[str, Any]:
    """The file as it is."""
    return YAML(typ="safe").load(path.read_text())


def why_not(runs: Runs) -> str | None:
    """Why the measured numbers may not stand beside the published ones; None where they may."""
    reasons = {
        f"these were measured on the {runs.preset} preset, with another model and other datasets": runs.preset
        != "paper",
        f"these were measured with {runs.shots} shots": runs.shots != SHOTS,
        f"these were measured on the {runs.split} split": runs.split != "test",
    }
    found = [reason for reason, holds in reasons.items() if holds]
    about = f"published numbers are of CLIP ViT-B/16, {SHOTS} shots, test split"
    return f"No published numbers beside the measured ones: {about}; {', '.join(found)}." if found else None


def beside(facts: dict[str, Any], runs: Runs) -> pd.DataFrame:
    """`method, protocol, source, dataset, published, measured` in percent, `average` last among a result's datasets.

    measured is NaN where the method was not run here or runs are missing.
    """
    means = tables.summary(tables.accuracy(runs)).set_index(["method", "dataset"])["accuracy"]
    rows = []
    for result in facts["results"]:
        for dataset, value in [*result.get("by_dataset", {}).items(), (tables.AVERAGE, result["average"])]:
            rows.append({
                "method": result["method"], "protocol": result.get("protocol", ""), "source": result["source"],
                "dataset": dataset, "published": value,
                "measured": 100 * means.get((result["method"], dataset), float("nan")),
            })  # fmt: skip
    return pd.DataFrame(rows)


def show(facts: dict[str, Any], runs: Runs) -> Table:
    """Two rows per method that was run here, published and measured; one per method that was not."""
    table, rows = beside(facts, runs), []
    columns = [*runs.datasets, tables.AVERAGE]
    for (method, protocol, source), part in table.groupby(["method", "protocol", "source"], sort=False):
        name = f"{method} ({protocol})" if protocol else str(method)
        values = part.set_index("dataset").reindex(columns)
        rows.append([Cell(name), Cell(f"published, {source}"), *(rounded(v, ".2f") for v in values["published"])])
        if method in runs.methods:
            rows.append([Cell(name), Cell("measured"), *(rounded(v, ".2f") for v in values["measured"])])
    where = "; ".join(f"{name}: {source['where']} ({source['how']})" for name, source in facts["sources"].items())
    caption = f"Top-1 in percent, {SHOTS} shots; measured: mean over seeds. Published averages as published. {where}."
    return Table(
        "Published and measured", ["method", "", *columns], rows, runs.stamp, runs.warnings, caption, facts["cautions"]
    )
