# SPDX-License-Identifier: Apache-2.0
"""One line per variant and workload: what a reader wants to know first."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis.points import Point, Points, Series
from orchestrator.analysis.raw import Record, ServerThread
from orchestrator.analysis.slo import Objective, SloResult, under_slo
from orchestrator.analysis.statistics import (
    Estimate,
    jain_index,
    max_min_ratio,
    median_interval,
)

# A curve that still follows the offered load this closely at its last point has not saturated.
FOLLOWS = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How evenly the server's threads shared something over all its valid trials.

    shares: per CPU (or thread, where threads are not pinned), of the sum over trials.
    jain, max_min: medians over trials, because sums hide an imbalance that changes sides;
    worst_jain: of the least even trial.
    """

    threads: tuple[str, ...]
    shares: tuple[float, ...]
    jain: float
    worst_jain: float
    max_min: float
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that is known of one variant under one workload; None where nothing was measured.

    max_throughput is the best median over offered loads; saturated is False when the highest
    valid load was still answered in full, so that the true maximum lies above.
    unloaded_* are latencies (us) at the lowest valid offered load, unloaded_rps.
    syscalls: calls per request by name, of the accounting trials; empty when there were none.
    """

    series: Series
    max_throughput: Estimate | None
    saturated: bool
    slo: SloResult | None
    unloaded_rps: float
    unloaded_p50: Estimate | None
    unloaded_p99: Estimate | None
    syscalls_per_request: Estimate | None
    syscalls: tuple[tuple[str, float], ...]
    packets_per_poll: Estimate | None
    events_per_poll: Estimate | None
    cpu_per_request: Estimate | None
    accept: Balance | None
    serve: Balance | None
    trials: int
    invalid: int


def summarise(
    points: Points, records: Sequence[Record], objective: Objective | None
) -> list[Summary]:
    """In the order in which the variants were first measured."""
    measured = [s for s in points.series if points.curve(s, "achieved_rps")]
    return [_summary(points, series, records, objective) for series in measured]


def _summary(
    points: Points, series: Series, records: Sequence[Record], objective: Objective | None
) -> Summary:
    own = [record for record in records if belongs(record, series)]
    loads = [record for record in own if record.trial.kind == "measure"]
    counted = [record for record in loads if record.trial.status == "ok"]
    curve = points.curve(series, "achieved_rps")
    best, saturated = _best(curve)
    rps, p50, p99 = _unloaded(points, series)
    open_loop = any(point.offered_rps == point.offered_rps for point in curve)
    return Summary(
        series=series,
        max_throughput=best,
        saturated=saturated,
        slo=under_slo(points, series, objective) if objective and open_loop else None,
        unloaded_rps=rps,
        unloaded_p50=p50,
        unloaded_p99=p99,
        syscalls_per_request=_overall(points, series, "syscalls_per_request"),
        syscalls=_syscalls(points, series),
        packets_per_poll=_overall(points, series, "packets_per_poll"),
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


def _best(curve: Sequence[Point]) -> tuple[Estimate | None, bool]:
    valid = [point for point in curve if point.estimate is not None]
    if not valid:
        return None, False
    best = max((p.estimate for p in valid if p.estimate), key=lambda estimate: estimate.value)
    last = valid[-1]
    assert last.estimate is not None
    # A closed loop (no offered load) finds its own maximum: the comparison with NaN is False.
    return best, not last.estimate.value >= FOLLOWS * last.offered_rps


def _unloaded(points: Points, series: Series) -> tuple[float, Estimate | None, Estimate | None]:
    p99 = {point.offered_rps: point.estimate for point in points.curve(series, "latency_p99")}
    for point in points.curve(series, "latency_p50"):
        if point.estimate is not None and point.offered_rps == point.offered_rps:
            return point.offered_rps, point.estimate, p99.get(point.offered_rps)
    return float("nan"), None, None


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
    sums = [sum(column) for column in zip(*usable, strict=True)]
    jains = [jain_index(one) for one in usable]
    return Balance(
        threads=labels[0],
        shares=tuple(part / sum(sums) for part in sums),
        jain=median_interval(jains).value,
        worst_jain=min(jains),
        max_min=median_interval([max_min_ratio(one) for one in usable]).value,
        trials=len(usable),
    )


def _count(thread: ServerThread, what: str) -> int:
    return thread.accepted if what == "accepted" else thread.requests
