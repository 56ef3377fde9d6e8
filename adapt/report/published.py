"""Published numbers (reports/published.yaml) beside the measured ones."""

from pathlib import Path
from typing import Any

import pandas as pd

from adapt.errors import UserError
from adapt.report import aggregate, studies
from adapt.report.formatting import Cell, Table, rounded
from adapt.report.load import Runs
from adapt.report.studies import StudyResult
from adapt.runtime import yaml

FILE = Path("reports/published.yaml")
SHOTS = 16  # of the published results


def read(path: Path = FILE) -> dict[str, Any]:
    """Read the file of published numbers."""
    if not path.exists():
        raise UserError(f"{path} is missing; get it back with `git checkout {path}`")
    return yaml.parse(path.read_text(encoding="utf-8"))


def why_not(runs: Runs) -> str | None:
    """Return why published numbers cannot be shown beside the measured ones, or None."""
    reasons = {
        f"these were measured on the {runs.preset} preset, with another model and other datasets": runs.preset
        != "paper",
        f"these were measured with {runs.shots} shots": runs.shots != SHOTS,
        f"these were measured on the {runs.split} split": runs.split != "test",
    }
    found = [reason for reason, holds in reasons.items() if holds]
    about = f"published numbers are for CLIP ViT-B/16, {SHOTS} shots, test split"
    return f"No published numbers are shown beside the measured ones: {about}; {', '.join(found)}." if found else None


def beside(facts: dict[str, Any], runs: Runs) -> pd.DataFrame:
    """Return published and measured accuracies by method, source and dataset.

    The columns are `method, source, protocol, dataset, published, measured`, in percent. Each published result has a
    row for each of the runs' datasets and for `average`. published is NaN where only the average was published;
    measured is NaN where the method was not run or runs are missing.
    """
    means = aggregate.summary(aggregate.accuracy(runs)).set_index(["method", "dataset"])["accuracy"]
    rows = [
        {
            **{key: result.get(key, "") for key in ("method", "source", "protocol")}, "dataset": dataset,
            "published": {aggregate.AVERAGE: result["average"], **result.get("by_dataset", {})}.get(dataset),
            "measured": 100 * means.get((result["method"], dataset), float("nan")),
        }
        for result in facts["results"] for dataset in [*runs.datasets, aggregate.AVERAGE]
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"published": float})


def beside_by_shots(facts: dict[str, Any], shots: StudyResult | None) -> pd.DataFrame:
    """Return published and measured averages by method, source and shots.

    The columns are `method, source, shots, published, measured`, in percent. The study of shots gives the measured
    ones.
    """
    curve = studies.curve(shots).set_index(["method", "x"])["accuracy"] if shots else pd.Series(dtype=float)
    rows = [
        {
            "method": result["method"], "source": result["source"], "shots": count, "published": value,
            "measured": 100 * curve.get((result["method"], count), float("nan")),
        }
        for result in facts["average_by_shots"]
        for count, value in zip(facts["shots"], result["averages"], strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def show(facts: dict[str, Any], table: pd.DataFrame, runs: Runs) -> Table:
    """Show the frame of `beside` as a table.

    Each method has a row for each published result and, if it was measured, one for the measured result.
    """
    columns = [*runs.datasets, aggregate.AVERAGE]
    caption = f"Top-1 accuracy in percent, {SHOTS} shots. Measured: mean over seeds. Published averages: as published."
    caption = f"{caption} {sources(facts)}"
    head, rows = ["method", "source", *columns], _rows(table, "dataset", columns)
    return Table("Published and measured", head, rows, runs.provenance_line, runs.warnings, caption, facts["cautions"])


def show_by_shots(facts: dict[str, Any], table: pd.DataFrame, runs: Runs) -> Table:
    """Show the frame of `beside_by_shots` as a table."""
    caption = f"Top-1 accuracy in percent, average over the 11 datasets. Measured: the study of shots. {sources(facts)}"
    head, rows = ["method", "source", *map(str, facts["shots"])], _rows(table, "shots", facts["shots"])
    return Table("Published and measured by shots", head, rows, runs.provenance_line, runs.warnings, caption)


def sources(facts: dict[str, Any]) -> str:
    """Return what the names of the sources refer to, in one line."""
    return "; ".join(f"{name}: {source['where']} ({source['how']})" for name, source in facts["sources"].items()) + "."


def _rows(table: pd.DataFrame, by: str, columns: list[Any]) -> list[list[Cell]]:
    rows = []
    protocols = table.get("protocol", pd.Series("", index=table.index))
    kinds = table["source"] + (": " + protocols).where(protocols != "", "")
    for method, parts in table.assign(kind=kinds).groupby("method", sort=False):
        for kind, part in parts.groupby("kind", sort=False):
            rows.append([Cell(str(method)), Cell(str(kind)), *_cells(part.set_index(by)["published"], columns)])
        measured = parts.drop_duplicates(by).set_index(by)["measured"]
        if measured.notna().any():
            rows.append([Cell(str(method)), Cell("measured here"), *_cells(measured, columns)])
    return rows


def _cells(values: pd.Series, columns: list[Any]) -> list[Cell]:
    return [rounded(float(value), ".2f") for value in values.reindex(columns)]
