# SPDX-License-Identifier: Apache-2.0
"""Two runs side by side: which points became faster, slower, or stayed.

For each variant, workload, offered load and metric that both runs measured, the ratio of medians
(B over A) and its bootstrap interval are compared with a practical threshold: a change is called
only when the whole interval lies beyond it, "same" only when the whole interval lies within it,
and everything between is inconclusive. Fewer than three valid repetitions on a side are always
inconclusive. With three, the interval spans the most extreme ratios of the samples, so that a
called change means that the samples do not overlap; by chance alone that happens in 1 of 10
points when nothing changed and the threshold is zero. Runs measured with different clocks are
never compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.analysis.points import Point, Points, Series
from orchestrator.analysis.statistics import Estimate, ratio_interval
from orchestrator.errors import UsageError

THRESHOLD = 0.05
FEWEST = 3
METRICS = ("achieved_rps", "latency_p50", "latency_p99", "latency_p999", "syscalls_per_request")


class Verdict(StrEnum):
    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"
    VOID = "void"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric of one point in both runs.

    before and after are medians; ratio is after / before, None where there is no number.
    """

    variant: str
    workload: str
    offered_rps: float
    metric: str
    unit: str
    before: Estimate | None
    after: Estimate | None
    ratio: Estimate | None
    verdict: Verdict
    why: str


def compare(
    before: Points,
    after: Points,
    *,
    metrics: Sequence[str] = METRICS,
    threshold: float = THRESHOLD,
) -> list[Row]:
    """Every point of either run. Raises UsageError when the clocks differ or nothing is shared."""
    clocks = [{series.clock for series in points.series} for points in (before, after)]
    if clocks[0] | clocks[1] and clocks[0] != clocks[1] or len(clocks[0] | clocks[1]) > 1:
        names = [" and ".join(sorted(one)) or "no" for one in clocks]
        raise UsageError(
            f"the runs cannot be compared: {names[0]} clock against {names[1]} clock",
            hint="compare runs that were measured with the same clock",
        )
    if not set(before.series) & set(after.series):
        raise UsageError(
            "the runs have no variant and workload in common",
            hint="compare runs of the same experiment",
        )
    series = list(dict.fromkeys([*before.series, *after.series]))
    return [
        row
        for one in series
        for metric in metrics
        for row in _rows(before, after, one, metric, threshold)
    ]


def _rows(
    before: Points, after: Points, series: Series, metric: str, threshold: float
) -> list[Row]:
    first = {_key(point): point for point in before.curve(series, metric)}
    second = {_key(point): point for point in after.curve(series, metric)}
    keys = sorted(set(first) | set(second))
    return [_row(series, metric, first.get(key), second.get(key), threshold) for key in keys]


def _key(point: Point) -> float:
    return -1.0 if point.offered_rps != point.offered_rps else point.offered_rps


def _row(
    series: Series, metric: str, first: Point | None, second: Point | None, threshold: float
) -> Row:
    known = first or second
    assert known is not None
    ratio: Estimate | None = None
    if first is None or second is None:
        verdict, why = Verdict.NOT_MEASURED, f"only in {'B' if first is None else 'A'}"
    elif first.estimate is None or second.estimate is None:
        side = "A" if first.estimate is None else "B"
        reasons = {sample.reason for sample in (*first.invalid, *second.invalid)}
        verdict, why = Verdict.VOID, f"no valid repetition in {side}: {'; '.join(reasons)}"
    elif min(sample.value for sample in first.valid) <= 0.0:
        verdict, why = Verdict.INCONCLUSIVE, "a ratio to zero says nothing"
    else:
        ratio = ratio_interval(
            [sample.value for sample in first.valid], [sample.value for sample in second.valid]
        )
        verdict, why = judge(ratio, first.direction, threshold)
    return Row(
        variant=series.variant,
        workload=series.workload,
        offered_rps=known.offered_rps,
        metric=metric,
        unit=known.unit,
        before=first.estimate if first else None,
        after=second.estimate if second else None,
        ratio=ratio,
        verdict=verdict,
        why=why,
    )


def judge(ratio: Estimate, direction: str, threshold: float) -> tuple[Verdict, str]:
    """The verdict on a ratio of medians, and why."""
    if ratio.n < FEWEST:
        return Verdict.INCONCLUSIVE, f"{ratio.n} valid repetitions; {FEWEST} are needed"
    span = f"ratio {ratio.low:.3f} to {ratio.high:.3f}"
    low, high = 1.0 / (1.0 + threshold), 1.0 + threshold
    if low <= ratio.low and ratio.high <= high:
        return Verdict.SAME, f"{span} lies within {threshold:.1%}"
    if ratio.high < low or ratio.low > high:
        larger = ratio.low > high
        if direction == "none":
            return Verdict.INCONCLUSIVE, f"{span}: changed, but neither way is better"
        better = larger == (direction == "higher")
        return (Verdict.FASTER if better else Verdict.SLOWER), f"{span} lies beyond {threshold:.1%}"
    return Verdict.INCONCLUSIVE, f"{span} straddles {threshold:.1%}"
