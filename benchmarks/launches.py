"""What a training step asks of a GPU, counted without one: reports/launches.csv, which docs/speed.md quotes.

    python -m benchmarks.launches                    # by the code at hand; rows of other commits stay

tests/gpu/launches.py counts kernels and other work that a GPU is told of, waits of the host, copies, casts, memory, for
every method that is tuned by steps, at ViT-B/16 with the paper's settings and batches of 4. It needs Linux, gcc and a
PyTorch for CUDA; nothing is computed, and times are not measured.
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
    """A row for each method and number of classes."""
    command = [sys.executable, "-m", "tests.gpu.launches", precision, CLASSES, names, *how]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [row(commit, json.loads(line), bool(how)) for line in said.splitlines() if line.startswith("{")]


def row(commit: str, found: dict[str, Any], compiled: bool) -> dict[str, Any]:
    """A line of tests/gpu/launches.py as a row; what it leaves out is 0."""
    known = {"commit": commit, "compiled": int(compiled)}
    return {key: known[key] if key in known else found.get(key, 0) for key in COLUMNS}


def read() -> list[dict[str, str]]:
    """The rows that there are."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Of every method with 10 classes in bfloat16, the oldest commit's counts and the newest's, in Markdown."""
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
