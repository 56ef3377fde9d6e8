"""The figures of reports/benchmarks.json in one table, as in README.

Run as `python -m benchmarks.table`; `make bench` ends with it.
"""

import json
from typing import Any

from benchmarks.rig import RECORD


def find(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    """Return the one row that has these values."""
    (row,) = (row for row in rows if wanted.items() <= row.items())
    return row


def table(recorded: dict[str, Any]) -> list[str]:
    """Return the table in Markdown, with the benchmarks that were run."""
    lines = {"step": of_steps, "evaluate": of_evaluation, "scale": of_scale, "pipeline": of_pipeline}
    found = [line for name, make in lines.items() if name in recorded for line in make(recorded[name]["rows"])]
    return ["| figure | measured |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in found)]


def of_steps(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return each method's step: ratio to the plain one, time, memory, rate.

    The last row is the growth with classes.
    """
    found = []
    for row in rows:
        found.append((f"step of `{row['method']}`, {row['classes']} classes, against plain", f"{row['ratio']:.1f} ×"))
        rest = f"{row['seconds']:.2f} s, {row['memory_gb']:.1f} GB, {row['rate_over_gemm']:.2f} of the GEMM rate"
        found.append(("– time, peak memory, rate", rest))
    few, many = (find(rows, method="adapt", classes=count) for count in (100, 1000))
    longer, more = (many[name] / few[name] for name in ("seconds", "class_tokens"))
    return [*found, ("step of `adapt` from 100 to 1000 classes", f"{longer:.1f} × for {more:.1f} × the class tokens")]


def of_evaluation(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the rate of evaluation relative to bare encoding."""
    what = "evaluation of `{}`, against bare `encode_image`"
    return [(what.format(row["method"]), f"{row['over_bare']:.2f} ×") for row in rows]


def of_scale(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the cost of very many classes, and the gain from pruning."""
    pruned = find(rows, what="pruned")
    most, kept = (
        f"{row['seconds']:.0f} s, {row['memory_gb']:.1f} GB"
        for row in (find(rows, what=what, value=10_000) for what in ("classes", "classes, all kept"))
    )
    return [
        ("step of `adapt`, 10,000 classes, 1000 at a time", most),
        ("– the same without giving memory back between the parts", kept),
        (f"step before pruning over step after ({pruned['value']})", f"{pruned['ratio']:.2f} ×"),
    ]


def of_pipeline(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the time of a pocket pipeline, its largest parts, and a stage's start."""
    seconds = {row["part"]: row["seconds"] for row in rows}
    starts = ", ".join(f"{name} {seconds[f'start, {name}']:.1f} s" for name in ("cold", "warm"))
    parts = ", ".join(f"{seconds[part] / 60:.1f} min" for part in ("train", "evaluate", "DVC's own"))
    return [
        ("pocket `dvc repro`, methods and data sets of the default", f"{seconds['whole'] / 60:.1f} min"),
        ("– training, evaluation, DVC's own", parts),
        ("start of a stage, to its first work", starts),
    ]


def main() -> None:
    print("\n".join(table(json.loads(RECORD.read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
