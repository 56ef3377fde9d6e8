"""The paper's claims, each with a verdict computed from the runs, never typed in.

A verdict needs the 95 % interval of a difference (see `adapt.report.statistics`). A claim holds if the whole interval
lies on its side of the threshold, does not hold if it lies on the other side, and is undecided if it covers both.
Claims about the size of a number can be tested on the paper preset alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from adapt.report import aggregate, statistics, studies
from adapt.report.aggregate import ADAPT
from adapt.report.formatting import p_value
from adapt.report.load import Runs, missed_budgets
from adapt.report.studies import StudyResult
from adapt.report.summary_text import pluralize, plus_minus

HOLDS, FAILS = "holds here", "does not hold here"
UNDECIDED, UNTESTED = "undecided here", "cannot be tested here"


class Finding(NamedTuple):
    """A measurement, in a sentence, and the verdict."""

    measured: str
    verdict: str


@dataclass(frozen=True)
class Evidence:
    """The runs and studies that findings are computed from.

    `absent` gives the reason for each study that is not there.
    """

    runs: Runs
    studies: Mapping[str, StudyResult]
    absent: Mapping[str, str]

    @property
    def table(self) -> pd.DataFrame:
        """The accuracy of every run."""
        return aggregate.accuracy(self.runs)

    @property
    def paper(self) -> bool:
        """Whether claims about sizes can be tested."""
        return self.runs.preset == "paper" and self.runs.split == "test"


def judge(claims: list[dict[str, Any]], evidence: Evidence) -> list[dict[str, str]]:
    """Return each claim with its measurement and its verdict.

    The keys are `claim, measured, on, verdict, source`.
    """
    rows = []
    for claim in claims:
        measured, verdict = FINDINGS[claim["id"]](evidence, claim.get("numbers", {}))
        row = {"claim": claim["says"], "measured": measured, "on": f"{evidence.runs.preset} preset", "verdict": verdict}
        rows.append({**row, "source": claim["source"]})
    return rows


def verdict(low: float, high: float, threshold: float = 0) -> str:
    """Return the verdict on the claim that a difference exceeds a threshold.

    `low` and `high` are the ends of the interval of the difference.
    """
    if np.isnan(low):
        return UNTESTED
    return HOLDS if low > threshold else FAILS if high < threshold else UNDECIDED


def average(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Measure the average gain of `adapt` over the best baseline."""
    baseline = aggregate.best_baseline(evidence.table)
    if ADAPT not in evidence.runs.methods or baseline is None:
        return Finding("adapt and a baseline with all runs are needed", UNTESTED)
    value, low, high = _gain(evidence.table, baseline)
    return Finding(f"over {baseline}, the best other method: {interval(value, low, high)}", verdict(low, high))


def best_gain(evidence: Evidence, numbers: Mapping[str, float]) -> Finding:
    """Measure the largest gain of `adapt` on one dataset over the best baseline there."""
    found = []
    for dataset in evidence.runs.datasets if ADAPT in evidence.runs.methods else []:
        baseline = aggregate.best_baseline(evidence.table, dataset)
        value, error = aggregate.gap(evidence.table, baseline, dataset) if baseline else (np.nan, np.nan)
        if not np.isnan(value):
            found.append((value, error, dataset, baseline))
    if not found:
        return Finding("no dataset with all runs of adapt and a baseline", UNTESTED)
    value, error, dataset, baseline = max(found, key=lambda entry: entry[0])
    text = (
        f"the largest is {100 * value:+.2f}{plus_minus(error)} points (± standard error), on {dataset} over {baseline}"
    )
    if not evidence.paper:
        return Finding(f"{text}; the paper claims the size for its own datasets", UNTESTED)
    spread = 0 if np.isnan(error) else 2 * error
    return Finding(text, verdict(100 * (value - spread), 100 * (value + spread), numbers["gain"]))


def heterogeneous(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Judge whether the lengths of a branch differ between its layers.

    They have to differ by more than one token, since even an even spread may need a difference of one.
    """
    table = evidence.runs.lengths.query("method == @ADAPT")
    if ADAPT not in evidence.runs.pruned:
        return Finding("no run of adapt removed tokens", UNTESTED)
    spread = table.groupby(["dataset", "seed", "branch"])["length"].agg(lambda part: part.max() - part.min())
    differ, runs = int((spread.groupby(level=["dataset", "seed"]).max() > 1).sum()), len(spread) // 2
    text = (
        f"in {differ} of {runs} runs the layers of a branch differ by more than one token, at most {spread.max():.0f}"
    )
    return Finding(text, HOLDS if differ == runs else UNDECIDED if differ else FAILS)


def significance(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Test the gain of `adapt` over PromptSRC for significance.

    The p value is that of the signed-rank test after Holm's correction. Without runs of PromptSRC, the best baseline is
    reported in its place, without a verdict.
    """
    if ADAPT not in evidence.runs.methods:
        return Finding("adapt was not run", UNTESTED)
    baseline = "promptsrc" if "promptsrc" in evidence.runs.methods else aggregate.best_baseline(evidence.table)
    found = _compared(evidence.table)
    if baseline is None or np.isnan(found[baseline]["gain"]):
        return Finding("runs of adapt or its baseline are missing", UNTESTED)
    p, effect, pairs = (found[baseline][name] for name in ("p_holm", "effect", "nonzero"))
    text = f"against {baseline}: p {p_value(p).text} (Holm, {len(found)} baselines), effect {effect:+.2f}"
    text += f", {pluralize(pairs, 'pair')} that differ"
    if len(found) * statistics.smallest_p(pairs) >= statistics.LEVEL and p >= statistics.LEVEL:
        return Finding(f"{text}: too few for any p below {statistics.LEVEL}", UNTESTED)
    if baseline != "promptsrc":
        return Finding(f"{text}; promptsrc was not run", UNTESTED)
    return Finding(text, (HOLDS if effect > 0 else FAILS) if p < statistics.LEVEL else UNDECIDED)


def few_shots(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Measure the gain of `adapt` over the best baseline at the fewest shots."""
    if "shots" not in evidence.studies:
        return _absent(evidence, "shots")
    rows = evidence.studies["shots"].runs
    few = rows[rows["shots"] == rows["shots"].min()]
    baseline = aggregate.best_baseline(few)
    if baseline is None or ADAPT not in set(few["method"]):
        return Finding("runs of adapt or its baselines are missing", UNTESTED)
    value, low, high = _gain(few, baseline)
    text = f"shots={rows['shots'].min()}, over {baseline}, the best other method: {interval(value, low, high)}"
    if missed := missed_budgets(few[few["method"] == ADAPT], "shots"):
        return Finding(f"{text}; not comparable, since {missed[0]}", UNTESTED)
    return Finding(text, verdict(-high, -low))


def pruning_helps(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Compare accuracy and step time at the params' budget with those without pruning."""
    if "budget" not in evidence.studies:
        return _absent(evidence, "budget")
    gathered = evidence.studies["budget"]
    whole = max(gathered.runs[gathered.axis])
    value, low, high = statistics.average(studies.differences(gathered, gathered.own, whole))
    times = statistics.average(studies.differences(gathered, gathered.own, whole, "step_ms"))
    faster = "step times are missing" if np.isnan(times[0]) else f"{times[0]:+.1f} ms per step"
    text = f"{gathered.own} against {whole} tokens: {interval(value, low, high)}; {faster}"
    both = {verdict(low, high), verdict(-times[2], -times[1])}
    worst = next(word for word in (UNTESTED, FAILS, UNDECIDED, HOLDS) if word in both)
    return Finding(text, worst)


def distillation(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Compare angular distillation with none."""
    return _contrast(evidence, "distill", "angular", ["none"])


def criteria(evidence: Evidence, _: Mapping[str, float]) -> Finding:
    """Compare SNIP with the two other reported criteria."""
    return _contrast(evidence, "criteria", "snip", ["gradient", "magnitude"])


def budget(evidence: Evidence, numbers: Mapping[str, float]) -> Finding:
    """Measure the accuracy lost at half of the params' budget."""
    if "budget" not in evidence.studies:
        return _absent(evidence, "budget")
    gathered = evidence.studies["budget"]
    half = gathered.own // 2
    value, low, high = statistics.average(studies.differences(gathered, half, gathered.own))
    text = f"{half} against {gathered.own} tokens: {interval(value, low, high)}"
    if not evidence.paper:
        return Finding(f"{text}; the paper claims the size for 128 and 64 tokens", UNTESTED)
    return Finding(text, verdict(100 * low, 100 * high, -numbers["loss"]))


FINDINGS: dict[str, Callable[[Evidence, Mapping[str, float]], Finding]] = {
    function.__name__: function
    for function in (
        average, best_gain, heterogeneous, pruning_helps, distillation, significance, few_shots, criteria, budget,
    )
}  # fmt: skip


def interval(value: float, low: float, high: float) -> str:
    """Format a difference of fractions in points, with its interval if it has one."""
    if np.isnan(value):
        return "runs are missing"
    spread = (
        "one dataset gives no interval" if np.isnan(low) else f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    )
    return f"{100 * value:+.2f} points ({spread})"


def _compared(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    found: list[Any] = statistics.compare(table, ADAPT).to_dict("records")
    return {row["baseline"]: row for row in found}


def _gain(table: pd.DataFrame, baseline: str) -> tuple[float, float, float]:
    row = _compared(table)[baseline]
    return row["gain"], row["low"], row["high"]


def _absent(evidence: Evidence, name: str) -> Finding:
    return Finding(evidence.absent.get(name, f"no study {name}"), UNTESTED)


def _contrast(evidence: Evidence, name: str, first: str, others: list[str]) -> Finding:
    """Judge the claim that one value of a study's axis is above each of the others."""
    if name not in evidence.studies:
        return _absent(evidence, name)
    gathered, texts, words = evidence.studies[name], [], set()
    for other in others:
        value, low, high = statistics.average(studies.differences(gathered, first, other))
        texts.append(f"{first} over {other}: {interval(value, low, high)}")
        words.add(verdict(low, high))
    worst = next(word for word in (FAILS, UNTESTED, UNDECIDED, HOLDS) if word in words)
    return Finding("; ".join(texts), worst)
