"""The saliency criteria against the true effect of removing each token.

`python -m stages.removal` measures both; this module reads, shows and draws them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adapt.pipeline import study
from adapt.report import style
from adapt.report.formatting import NONE, Cell, Table
from adapt.report.load import Runs
from adapt.runtime import formats

NAME, TITLE = "removal", "Criteria against true removal"
COMMAND = "python -m stages.removal"
KINDS = {"effect": "change of the loss", "size": "size of that change"}
CAPTION = (
    "Spearman's rank correlation of a criterion's scores with the true effect of removing each token alone: the change "
    "of the loss over the training images, at adapt's first pruning. Pruning needs the change with its sign; the "
    "criteria estimate its size. Mean ± standard deviation over datasets and seeds."
)


@dataclass(frozen=True)
class RemovalStudy:
    """The correlations of each criterion, and the record of how they were made.

    There is a row per `dataset, seed, criterion` with the columns `effect` and `size`.
    """

    rows: pd.DataFrame
    record: Mapping[str, Any]
    warnings: list[str]

    @property
    def provenance_line(self) -> str:
        """The settings the numbers were made with."""
        made = self.record
        counts = f"{self.rows['dataset'].nunique()} datasets, {self.rows['seed'].nunique()} seeds"
        return (
            f"{made['preset']} preset, backbone {made['backbone']}, weights {made['weights']}, {made['shots']} shots, "
            f"training images, {counts}, commit {made['commit'][:10] or 'unknown'}"
        )

    @property
    def caption(self) -> str:
        """How the numbers were made."""
        return f"{CAPTION} Made by `{COMMAND}`, {self.record['seconds'] / 60:.0f} minutes."


def read(runs: Runs, folder: Path = study.FOLDER) -> RemovalStudy | str:
    """Return the study if it has the settings of the report's runs, else why not."""
    table, again = folder / f"{NAME}.csv", f"`make study-{NAME}`"
    if not table.exists():
        return f"not run yet: {again}"
    record, rows = formats.read_json(folder / f"{NAME}.json", f"make study-{NAME}"), pd.read_csv(table)
    here = {"preset": runs.preset, "backbone": runs.backbone, "weights": runs.weights[:10], "shots": runs.shots}
    others = [key for key, value in here.items() if record[key] != value]
    others += [f"{key}s" for key in ("dataset", "seed") if set(rows[key]) != set(getattr(runs, f"{key}s"))]
    if others:
        return f"{table} was made with other {', '.join(others)}: {again}"
    return RemovalStudy(rows, record, [runs.warnings[0]] if runs.preset != "paper" else [])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation of both correlations by criterion.

    They are over datasets and seeds; NaN if one of the correlations is.
    """
    groups = rows.groupby("criterion", sort=False)[list(KINDS)]
    return groups.agg([lambda part: part.mean(skipna=False), lambda part: part.std(skipna=False)]).set_axis(
        pd.MultiIndex.from_product([KINDS, ["mean", "std"]]), axis=1
    )


def show(removal: RemovalStudy) -> Table:
    """Show the correlations, a row per criterion."""
    means = summary(removal.rows)
    rows = [
        [Cell(str(name)), *(_cell(means.loc[name, kind]["mean"], means.loc[name, kind]["std"]) for kind in KINDS)]
        for name in means.index
    ]
    caption = f"{removal.caption.replace('`', '')} The best of each column is bold."
    shown = Table(TITLE, ["criterion", *KINDS.values()], rows, removal.provenance_line, removal.warnings, caption)
    return shown.with_best({1: True, 2: True})


def draw(removal: RemovalStudy) -> Figure:
    """Draw both correlations as dots with their deviation, a panel each.

    There is a row per criterion.
    """
    means = summary(removal.rows)
    places = np.arange(len(means))
    with style.new_figure(removal, TITLE, 9, 1.9 + 0.5 * len(means)) as figure:
        for axes, (kind, what) in zip(figure.subplots(1, 2, sharey=True), KINDS.items(), strict=True):
            mean, std = means[kind]["mean"], means[kind]["std"].fillna(0)
            axes.hlines(places, mean - std, mean + std, color=style.STRONG, lw=1.4)
            axes.plot(mean, places, style.MARKERS[0], color=style.STRONG, ms=7)
            for place, value in zip(places, mean, strict=True):
                if np.isfinite(value):
                    axes.annotate(f"{value:.2f}", (value, place), (0, 6), textcoords="offset points", ha="center",
                                  fontsize=8)  # fmt: skip
            axes.axvline(0, color="#333333", lw=0.8)
            axes.set_yticks(places, means.index)
            axes.set_ylim(len(means) - 0.45, -0.6)
            axes.margins(x=0.1)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel(f"rank correlation with the {what}")
            axes.grid(axis="x")
    return figure


def _cell(mean: float, std: float) -> Cell:
    if np.isnan(mean):
        return Cell("")
    return Cell(f"{mean:.2f} ± {NONE if np.isnan(std) else f'{std:.2f}'}")
