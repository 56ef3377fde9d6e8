"""Verdicts follow from the numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapt.report import claims, load, published, studies
from adapt.report.claims import FAILS, HOLDS, UNDECIDED, UNTESTED
from tests.fake_runs import edit_json, read, write_runs, write_study

ROOT = Path(__file__).parents[2]
FACTS = published.read(ROOT / "reports/published.yaml")
DATASETS = ["digits", "mnist", "phosphor", "remix", "fontawesome"]


def evidence(root: Path, ours: float, spread: float = 0.0, **changed: Any) -> claims.Evidence:
    """Write runs in which `adapt` leads `promptsrc` by `ours`, ± spread over datasets."""
    asked = write_runs(root, **{"datasets": DATASETS, "methods": ["zero_shot", "promptsrc", "adapt"], **changed})
    for at, dataset in enumerate(asked["datasets"]):
        for seed in asked["seeds"]:
            for method in asked["methods"]:
                base = {"zero_shot": 0.3, "adapt": 0.6 + ours + spread * (-1) ** at}.get(method, 0.6)
                path = root / dataset / method / f"seed_{seed}" / "metrics.json"
                edit_json(path, accuracy=base + 0.001 * seed * (method == "adapt"))
    return claims.Evidence(load.read(root, **asked), {}, {})


def with_study(root: Path, name: str, method: str = "adapt", **accuracy: float) -> claims.Evidence:
    """Write a study with given accuracies of the method at values of the axis.

    A step takes 60 ms, or the time given for the value.
    """
    found = read(root / "runs", datasets=DATASETS)
    table = write_study(root / "studies", name, datasets=DATASETS)
    axis = table.columns[1]
    for value, mean in accuracy.items():
        rows = table[axis].astype(str).eq(value.removeprefix("v")) & table["method"].eq(method)
        table.loc[rows, "accuracy"] = mean + 0.001 * np.arange(rows.sum())
    table.to_csv(root / "studies" / f"{name}.csv", index=False)
    return claims.Evidence(found, *studies.read(found, root / "studies"))


def test_every_claim_has_a_finding_and_a_verdict(tmp_path: Path):
    rows = claims.judge(FACTS["claims"], evidence(tmp_path, 0.02))
    assert {claim["id"] for claim in FACTS["claims"]} == set(claims.FINDINGS)
    assert len(rows) == 9
    assert all(row["measured"] and row["verdict"] in (HOLDS, FAILS, UNDECIDED, UNTESTED) for row in rows)
    assert {row["on"] for row in rows} == {"pocket preset"}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, HOLDS), (-0.2, -0.1, FAILS), (-0.1, 0.1, UNDECIDED), (np.nan, np.nan, UNTESTED)],
)
def test_verdict_is_where_the_interval_lies(low: float, high: float, expected: str):
    assert claims.verdict(low, high) == expected


@pytest.mark.parametrize(
    ("ours", "spread", "expected"), [(0.02, 0, HOLDS), (-0.02, 0, FAILS), (0.001, 0.05, UNDECIDED)]
)
def test_average_is_judged_by_the_interval_over_datasets(tmp_path: Path, ours: float, spread: float, expected: str):
    measured, verdict = claims.average(evidence(tmp_path, ours, spread), {})
    assert verdict == expected
    assert f"over promptsrc, the best other method: {100 * (ours + 0.002 + spread / 5):+.2f} points" in measured


def test_one_dataset_decides_nothing_on_the_average(tmp_path: Path):
    measured, verdict = claims.average(evidence(tmp_path, 0.05, datasets=["digits"]), {})
    assert verdict == UNTESTED
    assert "one dataset gives no interval" in measured


@pytest.mark.parametrize(("ours", "expected"), [(0.02, HOLDS), (-0.02, FAILS)])
def test_significance_is_that_of_the_corrected_test(tmp_path: Path, ours: float, expected: str):
    measured, verdict = claims.significance(evidence(tmp_path, ours), {})
    assert verdict == expected
    assert "against promptsrc: p 0.0001 (Holm, 2 baselines)" in measured


def test_significance_needs_promptsrc_and_enough_pairs(tmp_path: Path):
    other = evidence(tmp_path / "other", 0.02, methods=["uniform", "adapt"])
    assert claims.significance(other, {})[1] == UNTESTED
    assert "promptsrc was not run" in claims.significance(other, {})[0]
    few = evidence(tmp_path / "few", 0.02, datasets=["digits"], seeds=[1, 2])
    measured, verdict = claims.significance(few, {})
    assert measured.endswith("2 pairs that differ: too few for any p below 0.05")
    assert verdict == UNTESTED


def test_sizes_are_judged_by_the_paper_preset_alone(tmp_path: Path):
    pocket = evidence(tmp_path / "pocket", 0.2)
    assert claims.best_gain(pocket, {"gain": 7.44})[1] == UNTESTED
    for ours, expected in ((0.2, HOLDS), (0.01, FAILS)):
        paper = evidence(tmp_path / f"paper{ours}", ours, preset="paper")
        assert claims.best_gain(paper, {"gain": 7.44})[1] == expected


def test_lengths_that_differ_by_one_token_are_not_heterogeneous(tmp_path: Path):
    found = evidence(tmp_path, 0)
    assert claims.heterogeneous(found, {})[1] == HOLDS
    flat = found.runs.lengths.assign(length=1)
    level = claims.Evidence(load.Runs(**{**vars(found.runs), "lengths": flat}), {}, {})
    assert claims.heterogeneous(level, {})[1] == FAILS


def test_a_study_that_was_not_run_is_named(tmp_path: Path):
    found = claims.Evidence(read(tmp_path), {}, {"distill": "not run yet: `make study-distill`"})
    assert claims.distillation(found, {}) == ("not run yet: `make study-distill`", UNTESTED)


@pytest.mark.parametrize(("angular", "expected"), [(0.7, HOLDS), (0.5, FAILS)])
def test_distillation_is_angular_against_none(tmp_path: Path, angular: float, expected: str):
    measured, verdict = claims.distillation(with_study(tmp_path, "distill", none=0.6, angular=angular), {})
    assert verdict == expected
    assert measured.startswith(f"angular over none: {100 * (angular - 0.6):+.2f} points")


def test_criteria_fail_with_the_first_that_is_better(tmp_path: Path):
    found = with_study(tmp_path, "criteria", snip=0.6, gradient=0.5, magnitude=0.7)
    assert claims.criteria(found, {})[1] == FAILS


def test_pruning_has_to_be_better_and_cheaper(tmp_path: Path):
    better = with_study(tmp_path / "better", "budget", v18=0.7, v24=0.6)
    assert claims.pruning_helps(better, {})[1] == HOLDS  # the fake's step time grows with the budget
    worse = with_study(tmp_path / "worse", "budget", v18=0.5, v24=0.6)
    assert claims.pruning_helps(worse, {})[1] == FAILS


def test_few_shots_are_not_judged_by_runs_that_missed_their_budget(tmp_path: Path):
    found = with_study(tmp_path, "shots", v1=0.1)
    assert claims.few_shots(found, {})[1] == HOLDS
    table = found.studies["shots"].runs
    table.loc[table["shots"].eq(1) & table["method"].eq("adapt"), "tokens"] = 20
    told, verdict = claims.few_shots(found, {})
    assert verdict == UNTESTED and told.endswith("not comparable, since adapt, shots 1: 20 tokens for 18")


def test_half_a_budget_is_judged_by_the_published_loss(tmp_path: Path):
    found = with_study(tmp_path, "budget", v9=0.590, v18=0.592)
    assert "9 against 18 tokens: -0.20 points" in claims.budget(found, {"loss": 0.6})[0]
    assert claims.budget(found, {"loss": 0.6})[1] == UNTESTED
    paper = claims.Evidence(load.Runs(**{**vars(found.runs), "preset": "paper"}), found.studies, {})
    assert claims.budget(paper, {"loss": 0.6})[1] == HOLDS
    assert claims.budget(paper, {"loss": 0.1})[1] == FAILS


def test_falling_behind_with_few_shots_confirms_the_limitation(tmp_path: Path):
    behind = with_study(tmp_path / "behind", "shots", v1=0.3)
    assert claims.few_shots(behind, {})[1] == HOLDS
    ahead = with_study(tmp_path / "ahead", "shots", v1=0.9)
    assert claims.few_shots(ahead, {})[1] == FAILS


def test_numbers_of_the_claims_are_plain_points():
    assert all(isinstance(n, float) for claim in FACTS["claims"] for n in claim.get("numbers", {}).values())
    json.dumps(FACTS, allow_nan=False)
