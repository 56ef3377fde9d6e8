"""A training step's work for a GPU, counted without one: reports/launches.csv.

    python -m benchmarks.launches                    # for the current commit; rows of other commits stay

For every method that is tuned by steps, tests/gpu/launches.py counts kernels and other work launched on the GPU, waits
of the host, copies, casts and memory, on ViT-B/16 with the paper's settings and batches of 4. It needs Linux, gcc and
a PyTorch for CUDA. Nothing is computed, and no times are measured. docs/speed.md quotes the table.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapt import methods
from adapt.runtime import formats
from benchmarks import rig

TABLE = Path("reports/launches.csv")
CLASSES, PRECISIONS = "10,100,1000", ("float32", "bfloat16")
COMPILED = "adapt,promptsrc,coop"
COUNTS = ("launches", "gemms", "waits", "h2d", "batch_waits", "casts", "frozen_casts", "cats", "peak_gb")
COLUMNS = ("commit", "compiled", "precision", "classes", "method", *COUNTS)


def count(commit: str, precision: str, names: str, *how: str) -> list[dict[str, Any]]:
    """Return a row for each method and number of classes."""
    command = [sys.executable, "-m", "tests.gpu.launches", precision, CLASSES, names, *how]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [row(commit, json.loads(line), bool(how)) for line in said.splitlines() if line.startswith("{")]


def row(commit: str, found: dict[str, Any], compiled: bool) -> dict[str, Any]:
    """Return a line of tests/gpu/launches.py as a row; missing counts are 0."""
    known = {"commit": commit, "compiled": int(compiled)}
    return {key: known[key] if key in known else found.get(key, 0) for key in COLUMNS}


def read() -> list[dict[str, str]]:
    """Read the existing rows."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a table in Markdown: the oldest commit's counts and the newest's.

    It has every method, with 10 classes in bfloat16.
    """
    first, last = rows[0]["commit"], rows[-1]["commit"]
    lines = [
        "| method | launches | | `casts` | | `waits` | | peak memory, GB | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    found = {
        (row["commit"], row["compiled"], row["method"]): row
        for row in rows
        if row["precision"] == "bfloat16" and row["classes"] == "10"
    }
    for commit, compiled, method in found:
        if commit != last:
            continue
        before, now = found[first, "0", method], found[commit, compiled, method]
        pairs = [(before[key], now[key]) for key in ("launches", "frozen_casts", "batch_waits", "peak_gb")]
        cells = " | ".join(f"{a} | {b}" for a, b in pairs)
        lines.append(f"| `{method}`{', compiled' if compiled == '1' else ''} | {cells} |")
    return lines


def main() -> None:
    tuned = ",".join(name for name in methods.names() if methods.find(name).trainable)
    commit = rig.commit()
    rows = [found for precision in PRECISIONS for found in count(commit, precision, tuned)]
    rows += count(commit, "bfloat16", COMPILED, "compile")
    formats.write_csv(TABLE, COLUMNS, [*(old for old in read() if old["commit"] != commit), *rows])


if __name__ == "__main__":
    main()
