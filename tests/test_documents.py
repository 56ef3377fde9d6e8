"""The numbers in documents are those of the files that commands wrote."""

import csv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_table_in_the_readme_is_the_reports():
    report = (ROOT / "reports/tables/accuracy.md").read_text(encoding="utf-8")
    rows = [line for line in report.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert "\n".join(rows) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_gain_in_the_readme_is_the_reports():
    (line,) = [
        line for line in (ROOT / "reports/tables/accuracy.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("- On the average `adapt` is ahead of `uniform`")
    ]  # fmt: skip
    gain = line.split(" by ")[1].rstrip(".")
    assert f"ahead of `uniform` by {gain} points" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_the_search_is_its_csv():
    document = (ROOT / "docs/pocket.md").read_text(encoding="utf-8")
    with (ROOT / "reports/search/uniform-adapt.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        uniform, adapt, gain, error = (
            100 * float(row[name]) for name in ("uniform", "adapt", "gain", "standard_error")
        )  # fmt: skip
        assert f"| {uniform:.1f} | {adapt:.1f} | {gain:+.1f} ± {error:.1f} |" in document, row["settings"]
