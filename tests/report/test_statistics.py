"""Tests and intervals, compared with manual results, scipy and brute force."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from adapt.report import statistics

FEW = settings(max_examples=20, deadline=None)  # brute force goes through thousands of signs


def brute_force(differences: list[float]) -> float:
    """Two-sided p of the signed-rank test by going through all signs."""
    values = [value for value in differences if value]
    ranks = reference.rankdata(np.abs(values))
    middle = ranks.sum() / 2
    seen = abs(ranks[np.array(values) > 0].sum() - middle)
    all_sums = [abs(np.dot(signs, ranks) - middle) for signs in product([0, 1], repeat=len(values))]
    return float(np.mean(np.array(all_sums) >= seen - 1e-9))


def runs_of(accuracy: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Return a table of runs: for each method a list per dataset of a value per seed."""
    return pd.DataFrame([
        {"dataset": f"d{at}", "method": method, "seed": seed, "accuracy": value}
        for method, datasets in accuracy.items()
        for at, seeds in enumerate(datasets)
        for seed, value in enumerate(seeds)
    ])  # fmt: skip


def test_signed_rank_of_a_case_worked_by_hand():
    # ranks of 1 2 3 4 5 6 with one minus at rank 2: W- = 2; of 64 signs 1 (none), 1 (rank 1), 1 (rank 2) are as extreme
    p, effect, nonzero = statistics.signed_rank([1, -2, 3, 4, 5, 6])
    assert p == pytest.approx(2 * 3 / 64)
    assert effect == pytest.approx((19 - 2) / 21)
    assert nonzero == 6


def test_zeros_are_dropped_and_ties_share_their_rank():
    # |d| = 1 1 2 gives ranks 1.5 1.5 3, the minus takes 1.5
    p, effect, nonzero = statistics.signed_rank([0, 1, -1, 2, 0])
    assert nonzero == 3
    assert effect == pytest.approx((4.5 - 1.5) / 6)
    assert p == pytest.approx(brute_force([1, -1, 2]))


def test_equal_but_for_rounding_is_a_tie():
    assert statistics.signed_rank([0.3 - 0.2, 0.1, -(0.4 - 0.3)]) == statistics.signed_rank([0.1, 0.1, -0.1])
    assert statistics.signed_rank([0.3 - 0.1 - 0.2]) == (1.0, 0.0, 0)


def test_no_difference_at_all_is_no_evidence():
    assert statistics.signed_rank([0, 0, 0]) == (1.0, 0.0, 0)


@FEW
@given(st.lists(st.integers(-6, 6).filter(bool), min_size=1, max_size=10))
def test_p_with_ties_is_exact(differences: list[int]):
    assert statistics.signed_rank(differences)[0] == pytest.approx(brute_force(list(map(float, differences))))


@pytest.mark.parametrize("pairs", [15, 33])  # five and eleven datasets with three seeds
def test_p_is_still_exact_with_ties_among_many_pairs(pairs: int):
    assert statistics.signed_rank([1, 1, *range(2, pairs)])[0] == pytest.approx(2.0 ** (1 - pairs))
    few = [0.5, -1, 1, *range(2, 12), -12, 12]
    assert statistics.signed_rank(few)[0] == pytest.approx(brute_force(few))


@FEW
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30, unique_by=lambda x: round(abs(x), 6)).filter(any))
def test_p_without_ties_is_scipys_exact_one(differences: list[float]):
    rounded = [round(value, 6) for value in differences if round(value, 6)]
    expected = reference.wilcoxon(rounded, method="exact").pvalue if rounded else 1
    assert statistics.signed_rank(rounded)[0] == pytest.approx(expected)


@FEW
@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), min_size=1, max_size=20))
def test_effect_turns_with_the_sign_and_is_one_where_all_agree(differences: list[float]):
    p, effect, _ = statistics.signed_rank(differences)
    turned, opposite, _ = statistics.signed_rank([-value for value in differences])
    assert (turned, opposite) == pytest.approx((p, -effect))
    assert statistics.signed_rank([abs(value) for value in differences])[1] == pytest.approx(1)


@pytest.mark.parametrize("pairs", range(1, 12))
def test_smallest_p_is_that_of_a_clean_sweep(pairs: int):
    assert statistics.smallest_p(pairs) == pytest.approx(statistics.signed_rank(list(range(1, pairs + 1)))[0])


def test_holm_of_a_case_worked_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; never below the one before
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1, 1]
    assert statistics.holm([]) == []


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_plain_p_and_bonferronis(p: list[float]):
    for plain, corrected in zip(p, statistics.holm(p), strict=True):
        assert plain <= corrected <= min(1, plain * len(p)) + 1e-12


def test_interval_is_scipys_bootstrap_of_the_mean():
    values = np.random.default_rng(3).normal(size=11).round(6)
    expected = reference.bootstrap((values,), np.mean, n_resamples=statistics.RESAMPLES, rng=np.random.default_rng(0))
    assert statistics.interval(values.tolist()) == tuple(expected.confidence_interval)


@FEW
@given(st.lists(st.integers(-100, 100), min_size=2, max_size=8))
def test_interval_holds_only_means_that_can_be_drawn(values: list[int]):
    low, high = statistics.interval(values)
    assert min(values) <= low <= high <= max(values)


def test_one_value_has_no_interval():
    assert np.isnan(statistics.interval([0.3])).all()


def test_gain_is_the_mean_over_datasets_of_the_means_over_seeds():
    found = statistics.compare(
        runs_of({"baseline": [[0.5, 0.6], [0.2, 0.2]], "ours": [[0.6, 0.8], [0.1, 0.3]]}), "ours"
    )
    assert found["baseline"].tolist() == ["baseline"]
    assert found["gain"][0] == pytest.approx((0.15 + 0) / 2)
    assert (found["pairs"][0], found["nonzero"][0]) == (4, 4)
    assert (found["low"][0], found["high"][0]) == pytest.approx((0, 0.15))


def test_baselines_are_corrected_together():
    ours = [[0.1 * at + 0.01 * seed for seed in range(3)] for at in range(1, 4)]
    lower = [[value - 0.05 - 0.001 * at for at, value in enumerate(seeds)] for seeds in ours]
    found = statistics.compare(runs_of({"a": lower, "ours": ours, "b": ours, "c": lower}), "ours")
    assert found["p_holm"].tolist() == pytest.approx(statistics.holm(found["p"].tolist()))
    assert found["p"].tolist() == pytest.approx([found["p"][0], 1, found["p"][0]])


def test_a_missing_run_empties_the_gain_and_is_left_out_of_the_pairs():
    found = statistics.compare(
        runs_of({"baseline": [[0.5, np.nan], [0.2, 0.2]], "ours": [[0.6, 0.8], [0.1, 0.3]]}), "ours"
    )
    assert found["pairs"][0] == 3
    assert found[["gain", "low", "high"]].isna().all(axis=None)
