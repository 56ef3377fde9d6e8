"""Read the runs of a report into data frames.

A missing or broken run is left out and listed. A foreign run (made under other params) is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from adapt.errors import UserError
from adapt.runtime import formats

SHOWN_PROBLEMS = 5
WORDS = ("branch",)  # the only column that does not hold numbers
COLUMNS = {
    "lengths": ["branch", "layer", "length"],
    "history": ["epoch", "loss", "cross_entropy", "tokens"],
    "trace": ["step", "tokens_left", "branch"],
}
COSTS = {"trainable": "metrics.json"} | dict.fromkeys(["seconds", "step_gflop", "memory_mb", "budget"], "cost.json")


class ForeignRun(UserError):
    """A complete run made under other params, which must not be mixed with the others."""


@dataclass(frozen=True)
class Runs:
    """Those runs named by params that exist.

    Each frame starts with the columns `dataset, method, seed`, in the order of params.

    results: shots, accuracy (fraction), tokens, steps, epochs, at_chance (a tuned run that is no better than guessing),
        trainable, seconds, step_gflop, memory_mb, budget (tokens asked for); NaN where a run has no value; one row per
        run
    lengths: branch, layer, length; history: epoch, loss, cross_entropy, tokens; trace: step, tokens_left, branch
    missing: a sentence for each run that is missing or broken, with the command that makes it
    """

    root: Path
    preset: str
    backbone: str
    weights: str
    shots: int
    split: str
    datasets: list[str]
    methods: list[str]
    seeds: list[int]
    results: pd.DataFrame
    lengths: pd.DataFrame
    history: pd.DataFrame
    trace: pd.DataFrame
    missing: list[str]

    @property
    def asked(self) -> int:
        """The number of runs that params name."""
        return len(self.datasets) * len(self.methods) * len(self.seeds)

    @property
    def provenance_line(self) -> str:
        """The settings the numbers were made with.

        They have to be the same before numbers can be compared.
        """
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        made = f"{self.preset} preset, backbone {self.backbone}, weights {self.weights[:10]}"
        return f"{made}, {self.shots} shots, {seeds}, {self.split} split"

    @property
    def cautions(self) -> list[str]:
        """Warnings that follow from the preset and the split alone."""
        found = []
        if self.preset != "paper":
            found.append(f"{self.preset} preset: not the paper's numbers")
        if self.split != "test":
            found.append(f"measured on the {self.split} split (evaluate.split): not test accuracy")
        return found

    @property
    def warnings(self) -> list[str]:
        """All warnings about these numbers, for the head of the report and of each table."""
        found = self.cautions
        if self.missing:
            found.append(f"{len(self.missing)} of {self.asked} runs are missing: cells that need them are empty")
        if self.at_chance:
            found.append(f"no better than guessing, so nothing was learned: {'; '.join(self.at_chance)}")
        if others := missed_budgets(self.results, "dataset"):
            found.append(f"ended with another number of tokens than asked for: {'; '.join(others)}")
        return found

    @property
    def at_chance(self) -> list[str]:
        """The tuned methods that are no better than guessing, with dataset and seeds."""
        groups = self.results[self.results["at_chance"]].groupby(["method", "dataset"], sort=False)["seed"]
        return [f"{method} on {dataset}, seed {', '.join(map(str, seeds))}" for (method, dataset), seeds in groups]  # pyright: ignore

    @property
    def pruned(self) -> list[str]:
        """The methods that removed tokens in some run."""
        return [method for method in self.methods if (self.trace["method"] == method).any()]


def missed(table: pd.DataFrame) -> pd.Series:
    """Return for each run whether its number of tokens differs from that asked for.

    False where no number was asked for.
    """
    return table["budget"].notna() & (table["tokens"] != table["budget"])


def missed_budgets(table: pd.DataFrame, by: str) -> list[str]:
    """Return a phrase for each method that missed the number of tokens asked for.

    There is one per method and value of the column `by`.
    """
    return [
        f"{method}, {by} {value}: {_span(part['tokens'])} tokens for {_span(part['budget'])}"
        for (method, value), part in table[missed(table)].groupby(["method", by], sort=False)  # pyright: ignore
    ]


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def read(
    root: Path,
    *,
    datasets: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    preset: str,
    backbone: str,
    shots: int,
    split: str,
) -> Runs:
    """Read `root/<dataset>/<method>/seed_<s>` for all runs that the arguments name.

    Other folders under `root` are ignored.

    Raises:
        UserError: if no run exists at all, or if some were made under other params or with other weights. The message
            gives the commands that make them.
    """
    asked = {"preset": preset, "backbone": backbone, "shots": shots, "split": split}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in ("results", *COLUMNS)}
    foreign: list[str] = []
    missing: list[str] = []
    for dataset, method, seed in product(datasets, methods, seeds):
        key = {"dataset": dataset, "method": method, "seed": seed}
        try:
            run = read_run(root / dataset / method / f"seed_{seed}", {**asked, **key})
        except UserError as error:
            (foreign if isinstance(error, ForeignRun) else missing).append(str(error))
            continue
        for name, table in run.items():
            tables[name].append(pd.DataFrame({word: [value] * len(table) for word, value in key.items()}).join(table))
    if problems := foreign or ([] if tables["results"] else missing):
        raise UserError("\n".join(shorten(problems)))
    # columns of a table without rows have no types of their own and would spoil those of the others
    frames = {
        name: pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
        for name, parts in tables.items()
    }
    weights = _one_weights(frames["results"], root)
    lists = list(datasets), list(methods), list(seeds)
    return Runs(root, preset, backbone, weights, shots, split, *lists, **frames, missing=missing)


def shorten(problems: list[str]) -> list[str]:
    """Return the first few problems, and how many more there are."""
    more = [f"and {len(problems) - SHOWN_PROBLEMS} more runs"] if len(problems) > SHOWN_PROBLEMS else []
    return problems[:SHOWN_PROBLEMS] + more


def read_run(folder: Path, asked: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Read the tables of one run, by name; `results` has one row.

    Raises:
        UserError: one of its files is missing or broken.
        ForeignRun: its settings are not those asked for.
    """
    made_by = f"dvc repro evaluate@{asked['dataset']}-{asked['method']}"
    metrics, cost = (formats.read_json(folder / name, made_by) for name in ("metrics.json", "cost.json"))
    for name, value in asked.items():
        if metrics.get(name) != value:
            has = f"{folder / 'metrics.json'} has {name} {metrics.get(name)!r}, the params say {value!r}"
            raise ForeignRun(f"{has}; make it again with `{made_by}`")
    accuracy, tokens, steps = (
        _number(content, name, path, made_by)
        for content, name, path in (
            (metrics, "accuracy", folder / "metrics.json"),
            (metrics, "tokens", folder / "metrics.json"),
            (cost, "steps", folder / "cost.json"),
        )
    )
    tables = {name: _table(folder / f"{name}.csv", columns, made_by) for name, columns in COLUMNS.items()}
    row = {
        "shots": metrics["shots"],
        "accuracy": accuracy,
        "tokens": int(tokens),
        "steps": int(steps),
        "epochs": len(tables["history"]),
        "at_chance": metrics.get("at_chance") is True and steps > 0,
        "weights": str(metrics.get("weights")),
        **{name: _cost({"metrics.json": metrics, "cost.json": cost}[file], name) for name, file in COSTS.items()},
    }
    return {"results": pd.DataFrame([row]), **tables}


def _cost(content: Mapping[str, Any], name: str) -> float:
    """Return a cost, NaN where it was not measured."""
    value = content.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _number(content: Mapping[str, Any], name: str, path: Path, made_by: str) -> float:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path} has {name} {value!r} instead of a finite number; make it again with `{made_by}`")
    return value


def _table(path: Path, columns: list[str], made_by: str) -> pd.DataFrame:
    """Read the named columns of a table.

    A table without rows is valid (zero_shot); a cell that is empty or not finite is an error.
    """
    rows = formats.read_csv(path, made_by)
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    for name in columns:
        numbers = table[name] if name in WORDS else pd.to_numeric(table[name], errors="coerce")
        bad = numbers.isna() | numbers.isin([math.inf, -math.inf])
        if bad.any():
            row, got = int(bad.to_numpy().argmax()), table[name][bad].iloc[0]
            raise UserError(f"{path} has {name} {got!r} in row {row + 1} of the data; make it again with `{made_by}`")
        table[name] = numbers
    return table


def _one_weights(results: pd.DataFrame, root: Path) -> str:
    first = results.iloc[0]
    other = results[results["weights"] != first["weights"]]
    if len(other):
        here, there = (f"{root}/{r.dataset}/{r.method}/seed_{r.seed}" for r in (other.iloc[0], first))
        raise ForeignRun(
            f"{here} was made with other backbone weights, {other.iloc[0]['weights'][:10]}, than {there}, "
            f"{first['weights'][:10]}; make all of one kind with `dvc repro evaluate`"
        )
    return str(first["weights"])
