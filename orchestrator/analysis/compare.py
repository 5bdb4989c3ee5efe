# SPDX-License-Identifier: Apache-2.0
"""Two runs side by side: which points became faster, slower, or stayed.

For each variant, workload, offered load and metric of either run there is a row; `verdicts` decides
it. Runs measured with different clocks are never compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.points import Point, Points, Series
from orchestrator.analysis.statistics import Estimate, median_interval
from orchestrator.analysis.verdicts import VIRTUAL, Pair, Side, Verdict, judge, noise_of_halves
from orchestrator.errors import UsageError

METRICS = ("achieved_rps", "latency_p50", "latency_p99", "latency_p999", "syscalls_per_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric of one point in both runs.

    before and after are medians, on the virtual clock of the seeds that both runs have; ratio is
    after / before, None where there is no number.
    threshold: the share that counted as no change.
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
    threshold: float = 0.0


type Found = tuple[Series, str, Point | None, Point | None]


def compare(
    before: Points,
    after: Points,
    *,
    metrics: Sequence[str] = METRICS,
    threshold: float | None = None,
) -> list[Row]:
    """Every point of either run; threshold: instead of the one each metric has. Raises UsageError
    when the clocks differ or nothing is shared."""
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
    found = [
        row for one in series for metric in metrics for row in _aligned(before, after, one, metric)
    ]
    judgements = judge([_pair(*one) for one in found], threshold=threshold)
    rows = []
    for (one, metric, first, second), judgement in zip(found, judgements, strict=True):
        known = first or second
        assert known is not None
        before_median, after_median = _medians(one, first, second)
        rows.append(
            Row(
                variant=one.variant,
                workload=one.workload,
                offered_rps=known.offered_rps,
                metric=metric,
                unit=known.unit,
                before=before_median,
                after=after_median,
                ratio=judgement.ratio,
                verdict=judgement.verdict,
                why=judgement.why,
                threshold=judgement.threshold,
            )
        )
    return rows


def named_metrics(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """What is compared of a run: the usual metrics, and those that its experiment names."""
    experiment = manifest.get("experiment")
    named = experiment.get("metrics", ()) if isinstance(experiment, dict) else ()
    own = [one.get("name") if isinstance(one, dict) else one for one in named]
    return tuple(dict.fromkeys([*METRICS, *(name for name in own if isinstance(name, str))]))


def _aligned(before: Points, after: Points, series: Series, metric: str) -> list[Found]:
    first = {_key(point): point for point in before.curve(series, metric)}
    second = {_key(point): point for point in after.curve(series, metric)}
    keys = sorted(set(first) | set(second))
    return [(series, metric, first.get(key), second.get(key)) for key in keys]


def _key(point: Point) -> float:
    return -1.0 if point.offered_rps != point.offered_rps else point.offered_rps


def _pair(series: Series, metric: str, first: Point | None, second: Point | None) -> Pair:
    known = first or second
    assert known is not None
    noise = () if series.clock == VIRTUAL else (*_noise(first), *_noise(second))
    return Pair(
        metric=metric,
        clock=series.clock,
        direction=known.direction,
        before=side(first),
        after=side(second),
        noise=noise,
    )


def _medians(
    series: Series, first: Point | None, second: Point | None
) -> tuple[Estimate | None, Estimate | None]:
    """Of what the ratio is made of: the virtual clock compares each seed with itself, and medians
    of other seeds could differ the other way."""
    found = [point.estimate if point else None for point in (first, second)]
    if series.clock == VIRTUAL and first and second:
        shared = {one.seed for one in first.valid} & {one.seed for one in second.valid}
        if shared:
            found = [
                median_interval([one.value for one in point.valid if one.seed in shared])
                for point in (first, second)
            ]
    return found[0], found[1]


def _noise(point: Point | None) -> tuple[float, ...]:
    return () if point is None else noise_of_halves(point.valid)


def side(point: Point | None) -> Side | None:
    """A point as one side of a comparison."""
    return None if point is None else Side(valid=point.valid, invalid=point.invalid)
