"""The criteria against true removal, as the report shows them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapt.report import token_effects
from adapt.report.load import Runs
from adapt.report.token_effects import RemovalStudy
from tests.fake_runs import read

CRITERIA = ["gate", "snip", "random"]


@pytest.fixture
def some(tmp_path: Path) -> Runs:
    return read(tmp_path / "runs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "studies"


def write(folder: Path, some: Runs, **changed) -> pd.DataFrame:
    """Write made-up correlations for the runs' datasets and seeds.

    The files are those of `python -m stages.removal`.
    """
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": dataset,
            "seed": seed,
            "criterion": name,
            "tokens": 24,
            "effect": rng.random(),
            "size": rng.random(),
        }
        for dataset in some.datasets
        for seed in some.seeds
        for name in CRITERIA
    ]
    record = {"preset": some.preset, "backbone": some.backbone, "weights": some.weights[:10], "shots": some.shots}
    record |= {"command": token_effects.COMMAND, "commit": "c" * 40, "seconds": 90.0, **changed}
    folder.mkdir()
    (folder / "removal.json").write_text(json.dumps(record), encoding="utf-8")
    table = pd.DataFrame(rows)
    table.to_csv(folder / "removal.csv", index=False)
    return table


def found(some: Runs, folder: Path) -> RemovalStudy:
    there = token_effects.read(some, folder)
    assert isinstance(there, RemovalStudy)
    return there


def test_study_made_without_git_says_that_its_commit_is_unknown(some, folder):
    write(folder, some, commit="")
    assert found(some, folder).provenance_line.endswith(", commit unknown")


def test_table_is_recomputed_from_the_csv(some, folder):
    table = write(folder, some)
    rows = [[cell.text for cell in row] for row in token_effects.show(found(some, folder)).rows]
    assert [name for name, *_ in rows] == CRITERIA
    for name, *cells in rows:
        part = table[table["criterion"] == name]
        assert cells == [f"{part[kind].mean():.2f} ± {part[kind].std():.2f}" for kind in ("effect", "size")]


def test_correlation_that_is_not_there_leaves_the_cell_empty(some, folder):
    table = write(folder, some)
    table.loc[1, "size"] = np.nan
    table.to_csv(folder / "removal.csv", index=False)
    shown = token_effects.show(found(some, folder))
    assert [row[2].text == "" for row in shown.rows] == [False, True, False]


def test_what_was_not_run_says_so(some, folder):
    assert token_effects.read(some, folder) == "not run yet: `make study-removal`"


@pytest.mark.parametrize("changed", [{"preset": "paper"}, {"weights": "other"}, {"shots": 4}])
def test_what_was_made_with_something_else_is_not_shown(changed, some, folder):
    write(folder, some, **changed)
    why = token_effects.read(some, folder)
    assert f"was made with other {next(iter(changed))}: `make study-removal`" in str(why)


def test_other_seeds_are_not_shown(some, folder):
    table = write(folder, some)
    table[table["seed"] == 1].to_csv(folder / "removal.csv", index=False)
    assert "was made with other seeds" in str(token_effects.read(some, folder))


def test_figure_has_a_dot_for_every_mean(some, folder):
    table = write(folder, some)
    figure = token_effects.draw(found(some, folder))
    for axes, kind in zip(figure.axes, ("effect", "size"), strict=True):
        (line,) = (line for line in axes.lines if line.get_marker() != "None")
        assert np.allclose(line.get_xdata(), table.groupby("criterion", sort=False)[kind].mean())
