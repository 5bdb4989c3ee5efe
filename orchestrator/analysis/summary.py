# SPDX-License-Identifier: Apache-2.0
"""One line per variant and workload: what a reader wants to know first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis.points import Point, Points, Series
from orchestrator.analysis.raw import Record, ServerThread
from orchestrator.analysis.saturation import Saturation
from orchestrator.analysis.slo import Objective, SloResult, under_slo
from orchestrator.analysis.statistics import (
    Estimate,
    jain_index,
    max_min_ratio,
    median_interval,
)
from orchestrator.spec.metrics import find_metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How evenly the server's threads shared something in its trials.

    shares (per CPU, or thread where threads are not pinned), jain and max_min are all of one trial:
    the middle one by Jain's index, of two the less even. Sums over trials would hide an imbalance
    that changes sides. worst_jain: of the least even trial.
    """

    threads: tuple[str, ...]
    shares: tuple[float, ...]
    jain: float
    worst_jain: float
    max_min: float
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A metric in the summary. why: what stood in the way of a value, when there is none."""

    unit: str
    estimate: Estimate | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that is known of one variant under one workload; None where nothing was measured.

    max_throughput is the best median over offered loads; saturated is False when the highest
    valid load was still answered in full, so that the true maximum lies above.
    metrics: those that the experiment wants to see, at lowest_rps, the lowest valid offered load;
    lowest_rps is NaN in a closed loop, which has one point.
    syscalls: calls per request by name, of the accounting trials; empty when there were none.
    """

    series: Series
    max_throughput: Estimate | None
    saturated: bool
    slo: SloResult | None
    lowest_rps: float
    metrics: Mapping[str, Value]
    syscalls_per_request: Estimate | None
    syscalls: tuple[tuple[str, float], ...]
    crossings_per_request: Estimate | None
    packets_per_poll: Estimate | None
    locality: Estimate | None
    events_per_poll: Estimate | None
    cpu_per_request: Estimate | None
    accept: Balance | None
    serve: Balance | None
    trials: int
    invalid: int


def summarise(
    points: Points,
    records: Sequence[Record],
    objective: Objective | None,
    metrics: Sequence[str],
) -> list[Summary]:
    """One for each series that was to be measured, in the order of the points."""
    measured = [s for s in points.series if points.curve(s, "achieved_rps")]
    return [_summary(points, series, records, objective, metrics) for series in measured]


def _summary(
    points: Points,
    series: Series,
    records: Sequence[Record],
    objective: Objective | None,
    metrics: Sequence[str],
) -> Summary:
    own = [record for record in records if belongs(record, series)]
    loads = [record for record in own if record.trial.kind == "measure"]
    counted = [record for record in loads if record.trial.status == "ok"]
    curve = points.curve(series, "achieved_rps")
    best, saturated = _best(curve, Saturation(records))
    valid = [point.offered_rps for point in curve if point.estimate is not None]
    lowest = valid[0] if valid else math.nan
    open_loop = any(point.offered_rps == point.offered_rps for point in curve)
    return Summary(
        series=series,
        max_throughput=best,
        saturated=saturated,
        slo=under_slo(points, series, objective) if objective and open_loop else None,
        lowest_rps=lowest,
        metrics={name: _value(points, series, name, lowest) for name in metrics},
        syscalls_per_request=_overall(points, series, "syscalls_per_request"),
        syscalls=_syscalls(points, series),
        crossings_per_request=_overall(points, series, "crossings_per_request"),
        packets_per_poll=_overall(points, series, "packets_per_poll"),
        locality=_overall(points, series, "locality"),
        events_per_poll=_overall(points, series, "server_events_per_poll"),
        cpu_per_request=_overall(points, series, "server_cpu_per_request"),
        accept=_balance(counted, "accepted"),
        serve=_balance(counted, "requests"),
        trials=len(loads),
        invalid=sum(1 for record in loads if record.load is None or record.reason),
    )


def belongs(record: Record, series: Series) -> bool:
    trial = record.trial
    return (trial.subject, trial.workload_label, trial.clock) == (
        series.variant,
        series.workload,
        series.clock,
    )


def _best(curve: Sequence[Point], saturation: Saturation) -> tuple[Estimate | None, bool]:
    valid = [point for point in curve if point.estimate is not None]
    if not valid:
        return None, False
    best = max((p.estimate for p in valid if p.estimate), key=lambda estimate: estimate.value)
    # A closed loop (no offered load) finds its own maximum: it follows nothing.
    return best, not saturation.follows(valid[-1])


def _value(points: Points, series: Series, metric: str, offered: float) -> Value:
    """A metric at one load; one that is counted in trials of its own, wherever it was counted."""
    known = find_metric(metric)
    unit = known.unit if known is not None else ""
    if known is not None and known.scope == "accounting":
        return Value(unit=unit, estimate=_overall(points, series, metric), why="not counted")
    for point in points.curve(series, metric):
        closed = math.isnan(point.offered_rps) and math.isnan(offered)
        if closed or point.offered_rps == offered:
            why = point.invalid[0].reason if point.invalid else ""
            return Value(unit=point.unit, estimate=point.estimate, why=why)
    return Value(unit=unit, estimate=None, why="not measured")


def _overall(points: Points, series: Series, metric: str) -> Estimate | None:
    """The median over all valid trials of a variant, whatever their load."""
    values = [s.value for point in points.curve(series, metric) for s in point.valid]
    return median_interval(values) if values else None


def _syscalls(points: Points, series: Series) -> tuple[tuple[str, float], ...]:
    prefix = "syscalls_per_request_"
    found = {
        metric.removeprefix(prefix): estimate.value
        for metric in points.metrics(series)
        if metric.startswith(prefix) and (estimate := _overall(points, series, metric))
    }
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _balance(records: Sequence[Record], what: str) -> Balance | None:
    trials = [record.server.threads for record in records if record.server is not None]
    counts = [[_count(thread, what) for thread in threads] for threads in trials]
    labels = [tuple(thread.label for thread in threads) for threads in trials]
    usable = [one for one, at in zip(counts, labels, strict=True) if sum(one) and at == labels[0]]
    if not usable:
        return None
    ordered = sorted(usable, key=jain_index)
    middle = ordered[(len(ordered) - 1) // 2]
    return Balance(
        threads=labels[0],
        shares=tuple(part / sum(middle) for part in middle),
        jain=jain_index(middle),
        worst_jain=jain_index(ordered[0]),
        max_min=max_min_ratio(middle),
        trials=len(usable),
    )


def _count(thread: ServerThread, what: str) -> int:
    return thread.accepted if what == "accepted" else thread.requests
