"""The figures of reports/benchmarks.json in one table, as README has it.

Run as `python -m benchmarks.table`; `make bench` ends with it.
"""

import json
from typing import Any

from benchmarks.rig import RECORD


def find(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    """The one row that has these values."""
    (row,) = (row for row in rows if wanted.items() <= row.items())
    return row


def table(recorded: dict[str, Any]) -> list[str]:
    """The lines of the table in Markdown."""
    made = {name: entry["rows"] for name, entry in recorded.items()}
    found = []
    for row in made["step"]:
        what = f"step of `{row['method']}`, {row['classes']} classes, batch 4"
        found.append((f"{what}, against plain", f"{row['ratio']:.1f} ×"))
        rest = f"{row['seconds']:.2f} s, {row['memory_gb']:.1f} GB, {row['rate_over_gemm']:.2f} of the GEMM rate"
        found.append(("– time, peak memory, rate", rest))
    for row in made["evaluate"]:
        found.append((f"evaluation of `{row['method']}`, against bare `encode_image`", f"{row['over_bare']:.2f} ×"))
    few, many = (find(made["scale"], what="classes", value=count) for count in (100, 1000))
    longer, more = (many[name] / few[name] for name in ("seconds", "class_tokens"))
    found.append(("step of `adapt` from 100 to 1000 classes", f"{longer:.1f} × for {more:.1f} × the class tokens"))
    most = find(made["scale"], what="classes", value=10_000)
    found.append(
        ("step of `adapt`, 10,000 classes, 1000 at a time", f"{most['seconds']:.0f} s, {most['memory_gb']:.1f} GB")
    )
    pruned = find(made["scale"], what="pruned")
    found.append((f"step before pruning over step after ({pruned['value']})", f"{pruned['ratio']:.2f} ×"))
    seconds = {row["part"]: row["seconds"] for row in made["pipeline"]}
    found.append(("pocket `dvc repro`, eight methods, five data sets", f"{seconds['whole'] / 60:.1f} min"))
    starts = " s, ".join(f"{name} {seconds[f'start, {name}']:.1f}" for name in ("cold", "warm"))
    found.append(("start of a stage, to its first work", f"{starts} s"))
    return ["| figure | measured |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in found)]


def main() -> None:
    print("\n".join(table(json.loads(RECORD.read_text()))))


if __name__ == "__main__":
    main()
