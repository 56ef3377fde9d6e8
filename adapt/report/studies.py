"""Read the gathered studies, and average them over datasets and seeds.

`adapt.pipeline.study` says what studies there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from adapt.pipeline import study
from adapt.report.aggregate import ADAPT, AVERAGE, with_average
from adapt.report.formatting import Cell, Table, percent
from adapt.report.load import Runs, missed, missed_budgets
from adapt.report.style import MISSED
from adapt.runtime import formats

CURVE = ["method", "series", "x", "accuracy", "std", "low", "high", "tokens", "step_ms", "missed"]


@dataclass(frozen=True)
class StudyResult:
    """A study whose experiments were run.

    It has the study's declaration, one row per run, and the record of how it was made.
    """

    name: str
    declared: study.Study
    runs: pd.DataFrame
    record: Mapping[str, Any]
    warnings: list[str]

    @property
    def axis(self) -> str:
        """The key of params on the x axis of its figure."""
        return next(iter(self.declared.grid))

    @property
    def others(self) -> list[str]:
        """The other keys of its grid; each of their values has a line of its own."""
        return list(self.declared.grid)[1:]

    @property
    def numeric(self) -> bool:
        """Whether the values of its axis are numbers."""
        return pd.api.types.is_numeric_dtype(self.runs[self.axis])

    @property
    def own(self) -> Any:
        """The params' own value of the axis."""
        return self.record["own"][self.axis]

    @property
    def split(self) -> str:
        """The split on which accuracy was measured."""
        return self._facts["split"]

    @property
    def provenance_line(self) -> str:
        """The settings its numbers were made with."""
        counts = [
            f"{self.runs[key].nunique()} {key}{'s' * (self.runs[key].nunique() > 1)}" for key in ("dataset", "seed")
        ]
        made = (
            f"{self._facts['preset']} preset, backbone {self._facts['backbone']}, weights {self._facts['weights'][:10]}"
        )
        return f"{made}, {self.split} split, {', '.join(counts)}, commit {self.record['commit'][:10]}"

    @property
    def _facts(self) -> Mapping[str, Any]:
        return next(entry for entry in self.record["experiments"] if entry["state"] == "finished")


def read(runs: Runs, folder: Path = study.FOLDER) -> tuple[dict[str, StudyResult], dict[str, str]]:
    """Read the studies that were made with the settings of the report's runs.

    Returns:
        The studies by name; and for every other study the reason why it is not shown.
    """
    found, absent = {}, {}
    for name, declared in study.load().items():
        table = folder / f"{name}.csv"
        if not table.exists():
            absent[name] = f"not run yet: `make study-{name}`"
            continue
        record = formats.read_json(folder / f"{name}.json", f"make study-{name}")
        rows = pd.read_csv(table, keep_default_na=False, na_values=[""])  # `none` is a value, not a gap
        rows = rows.assign(budget=rows.get("budget"))  # older tables have no such column
        if others := differing(runs, record, rows):
            absent[name] = f"{table} was made with other {others}: `make study-{name}`"
            continue
        open_ = sum(entry["state"] != "finished" for entry in record["experiments"])
        warnings = [*runs.cautions]
        warnings += [f"{open_} of {len(record['experiments'])} experiments are missing"] if open_ else []
        others = missed_budgets(rows, next(iter(declared.grid)))
        warnings += (
            [f"{MISSED} ended with another number of tokens than asked for: {'; '.join(others)}"] if others else []
        )
        found[name] = StudyResult(name, declared, rows, record, warnings)
    return found, absent


def differing(runs: Runs, record: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """Return in which settings a study differs from the report, separated by commas.

    A study that differs cannot be shown in the report. Empty if it does not differ.
    """
    here = {"preset": runs.preset, "backbone": runs.backbone, "weights": runs.weights[:10], "split": runs.split}
    done = [entry for entry in record["experiments"] if entry["state"] == "finished"]
    if not done:
        return "experiments, none of which finished"
    others = [key for key, value in here.items() if any(entry[key] != value for entry in done)]
    lists = {"dataset": runs.datasets, "seed": runs.seeds}
    others += [f"{key}s" for key, names in lists.items() if set(rows[key]) != set(names)]
    return ", ".join(others)


def curve(gathered: StudyResult) -> pd.DataFrame:
    """Average a study over its runs: a row per method and point of the grid.

    The columns are CURVE. accuracy is each seed's mean over all datasets, averaged over seeds, and std its standard
    deviation over seeds; both are NaN where a run of the point is missing. tokens and step_ms are means over all runs.
    missed is true if some of the runs ended with another number of tokens than asked for.
    """
    rows = []
    keys = ["method", *gathered.others, gathered.axis]
    values: Any
    for values, part in gathered.runs.groupby(keys, sort=False):
        method, *rest, x = list[Any](values)
        label = ", ".join([str(method), *(f"{key} {value}" for key, value in zip(gathered.others, rest, strict=True))])
        scores = with_average(part)
        seeds = scores[scores["dataset"] == AVERAGE]["accuracy"]
        mean, std = seeds.mean(skipna=False), seeds.std(skipna=False)
        spread = 0 if len(seeds) == 1 else std
        means = {name: part[name].mean(skipna=False) for name in ("tokens", "step_ms")}
        row = {"method": method, "series": label, "x": x, "accuracy": mean, "std": std, "missed": missed(part).any()}
        rows.append({**row, "low": mean - spread, "high": mean + spread, **means})
    return pd.DataFrame(rows, columns=pd.Index(CURVE))


def differences(
    gathered: StudyResult, first: Any, second: Any, column: str = "accuracy", method: str = ADAPT
) -> pd.Series:
    """Subtract one value of the axis from another, run by run.

    The result, first minus second, is indexed by `dataset, seed`. It is empty if one of the values was not run. For
    studies with one axis.
    """
    part = gathered.runs[gathered.runs["method"] == method]
    wide = part.pivot(index=["dataset", "seed"], columns=gathered.axis, values=column)
    return wide[first] - wide[second] if {first, second} <= set(wide) else pd.Series(dtype=float)


def show(gathered: StudyResult) -> Table:
    """Show the average accuracy, a row per line of the figure.

    There is a column per value of the axis.
    """
    means = curve(gathered).set_index(["series", "x"])
    columns = list(dict.fromkeys(gathered.runs[gathered.axis]))
    rows = [
        [Cell(str(series)), *(_cell(means, series, value) for value in columns)]
        for series in means.index.get_level_values("series").unique()
    ]
    caption = (
        f"A column per value of {gathered.axis}. Average accuracy over the datasets in percent, mean ± standard "
        f"deviation over seeds; the best of each column is bold. Made by {gathered.record['command']}."
    )
    head = ["method", *map(str, columns)]
    shown = Table(gathered.declared.title, head, rows, gathered.provenance_line, gathered.warnings, caption)
    return shown.with_best(dict.fromkeys(range(1, len(head)), True) if len(rows) > 1 else {})


def all_curves(found: Mapping[str, StudyResult]) -> pd.DataFrame:
    """Return the curves of all studies in one table, for the interactive plot."""
    parts = [
        curve(gathered).assign(study=gathered.declared.title, axis=gathered.axis, made=gathered.provenance_line)
        for gathered in found.values()
    ]
    columns = ["study", "axis", *CURVE, "made"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=pd.Index(columns))


def _cell(means: pd.DataFrame, series: Any, value: Any) -> Cell:
    if (series, value) not in means.index:
        return Cell("")
    row = means.loc[(series, value)]
    shown = percent(float(row["accuracy"]), float(row["std"]))
    return shown._replace(text=f"{shown.text} {MISSED}") if row["missed"] else shown
