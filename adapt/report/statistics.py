"""Tests whether a gain is more than chance, and intervals of the average gain.

The tests are signed-rank tests against each baseline; the intervals are bootstrap intervals. The pairs of a test are
datasets × seeds: under one seed both methods saw the same images. Pairs of one dataset share its test images and its
classes, so they are not independent and p is, if anything, too small. The interval is therefore resampled over
datasets, the larger unit: it shows how the average gain would vary over other datasets like these.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05  # of significance; the intervals cover 1 - LEVEL
RESAMPLES = 9999
SAME = 12  # decimals: differences of fractions that are equal but for rounding count as ties


def signed_rank(differences: Sequence[float]) -> tuple[float, float, int]:
    """Compute Wilcoxon's two-sided signed-rank test of paired differences.

    Differences of zero are dropped (Wilcoxon 1945), and ties share their mean rank. p is exact for any number of pairs
    and ties: it is the share of all 2^n assignments of signs whose rank sum is at least as extreme.
    (scipy.stats.wilcoxon is exact without ties, and the tests compare this function with it. With ties, scipy
    enumerates all assignments of signs one by one, which takes seconds for 15 pairs.)

    Returns:
        p; the effect; and the number of differences that are not zero. The effect is the matched-pairs rank-biserial
        correlation, from -1 to 1: favourable minus unfavourable rank sum, over their sum (Kerby 2014). If all
        differences are zero, p is 1 and the effect 0.
    """
    values = np.round(np.asarray(differences, dtype=float), SAME)
    values = values[values != 0]
    if not len(values):
        return 1.0, 0.0, 0
    doubled = np.rint(2 * stats.rankdata(np.abs(values))).astype(int)  # doubled, since ties may share half a rank
    share = np.zeros(doubled.sum() + 1)  # of the assignments of signs to the ranks so far, by rank sum
    share[0] = 1
    for rank in doubled:
        share[rank:] = (share[rank:] + share[:-rank]) / 2
        share[:rank] /= 2
    seen = doubled[values > 0].sum()
    p = min(1.0, 2 * min(share[: seen + 1].sum(), share[seen:].sum()))
    return float(p), float((np.sign(values) * doubled).sum() / doubled.sum()), len(values)


def smallest_p(pairs: int) -> float:
    """Return the least p that a two-sided signed-rank test of n pairs can give.

    It is that of n differences with the same sign.
    """
    return min(1.0, 2.0 ** (1 - pairs))


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values for multiple tests (Holm 1979), and keep their order."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return corrected.tolist()


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Compute the bootstrap interval (BCa) of the mean.

    NaN for a single value, which cannot be resampled.
    """
    numbers = np.round(np.asarray(values, dtype=float), SAME)
    if len(numbers) < 2:
        return np.nan, np.nan
    if np.ptp(numbers) == 0:
        return float(numbers[0]), float(numbers[0])
    rng = np.random.default_rng(seed)
    found = stats.bootstrap((numbers,), np.mean, confidence_level=1 - LEVEL, n_resamples=RESAMPLES, rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def compare(table: pd.DataFrame, ours: str) -> pd.DataFrame:
    """Compare `ours` with every baseline, in the table's order of methods.

    Args:
        table: `dataset, method, seed, accuracy`, one row per run; accuracy is NaN where a run is missing.
        ours: the method that is compared.

    Returns:
        One row per baseline: `baseline, pairs, nonzero, gain, low, high, effect, p, p_holm`. Pairs are the runs that
        both methods have. gain is the mean over datasets of each dataset's mean over seeds; it and its interval are NaN
        unless all pairs are there. p_holm is corrected over the baselines.
    """
    wide = table.pivot(index=["dataset", "seed"], columns="method", values="accuracy")
    rows = []
    for baseline in table["method"].drop_duplicates():
        if baseline == ours:
            continue
        differences = wide[ours] - wide[baseline]
        paired = differences.dropna()
        p, effect, nonzero = signed_rank(paired.tolist())
        row = {"baseline": baseline, "pairs": len(paired), "nonzero": nonzero}
        gain, low, high = average(differences)
        rows.append(row | {"gain": gain, "low": low, "high": high, "effect": effect, "p": p})
    found = pd.DataFrame(rows, columns=pd.Index(["baseline", "pairs", "nonzero", "gain", "low", "high", "effect", "p"]))
    return found.assign(p_holm=holm(found["p"].tolist()))


def average(differences: pd.Series) -> tuple[float, float, float]:
    """Average differences over seeds, then over datasets, with an interval.

    The interval is resampled over datasets.

    Args:
        differences: indexed by `dataset, seed`; a NaN among them makes all three results NaN.

    Returns:
        The mean, and the lower and the upper end of its interval.
    """
    if differences.isna().any() or not len(differences):
        return np.nan, np.nan, np.nan
    by_dataset = differences.groupby(level="dataset", sort=False).mean()
    return float(by_dataset.mean()), *interval(by_dataset.tolist())
