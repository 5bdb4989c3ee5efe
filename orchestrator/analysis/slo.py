# SPDX-License-Identifier: Apache-2.0
"""The largest offered load at which a latency percentile stays within a bound.

Per repetition the offered loads are walked upwards. The first load that fails ends the walk: a
later load that happens to pass does not count, because latency under an open loop grows with
load and a dip beyond the knee is luck. Between the last passing and the first failing load the
answer is interpolated, linearly in load and in the logarithm of latency; the passing side enters
with the largest latency seen so far, which makes the curve monotone. The answer is never above
what the server achieved at the failing load: a trial is short, and an overload can pass it before
its queue has grown, but no server sustains more than it answers.

A point also fails when a larger share of what was sent never came back than the percentile
leaves above it (1 % for p99): those requests are the tail, and the others would not show it.
Void points are no evidence either way. Where one lies between the last passing and the first
failing load, the knee may be on either side of it: nothing is interpolated over it.

"not reached" (even the highest valid load passes: the answer is a lower bound), "below the first
point" (even the lowest fails: an upper bound) and "between" (both bounds, with a void point
between them) are results of their own, not numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.analysis.points import Points, Series
from orchestrator.analysis.statistics import Estimate, median_interval

_ALLOWED_LOSS = {
    "latency_p50": 0.5,
    "latency_p90": 0.1,
    "latency_p99": 0.01,
    "latency_p999": 0.001,
    "latency_p9999": 0.0001,
    "latency_max": 0.0,
}
_OTHER_METRIC_LOSS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A latency metric and its highest allowed value."""

    metric: str
    limit_ns: float

    @property
    def allowed_loss(self) -> float:
        """The share of requests that may stay unanswered."""
        return _ALLOWED_LOSS.get(self.metric, _OTHER_METRIC_LOSS)


class State(StrEnum):
    MEASURED = "measured"
    NOT_REACHED = "not reached"
    BELOW_FIRST = "below the first point"
    BETWEEN = "between, with a void point"
    NO_POINTS = "no valid point"
    UNDECIDED = "undecided: repetitions disagree"


_ORDER = {State.BELOW_FIRST: 0, State.MEASURED: 1, State.BETWEEN: 1, State.NOT_REACHED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxLoad:
    """One answer in requests/s. For NOT_REACHED and BETWEEN `rps` is a lower bound, for
    BELOW_FIRST an upper bound, for NO_POINTS and UNDECIDED it is NaN. Only BETWEEN has the upper
    bound `below`.
    """

    state: State
    rps: float
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SloResult:
    """The answer over repetitions. estimate is set only when every repetition has a number;
    otherwise `answers` shows what each one said, and `median` is the middle one."""

    objective: Objective
    median: MaxLoad
    estimate: Estimate | None
    answers: tuple[MaxLoad, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One trial: offered load, latency, the share of requests that came back, and their rate."""

    offered_rps: float
    latency_ns: float
    returned: float = 1.0
    achieved_rps: float = math.inf
    void: bool = False


def max_load(loads: Sequence[Load], objective: Objective) -> MaxLoad:
    """The answer of one repetition."""
    if all(load.void for load in loads):
        return MaxLoad(state=State.NO_POINTS, rps=float("nan"))
    passing: Load | None = None
    unknown = False
    worst, limit = 0.0, objective.limit_ns
    for load in sorted(loads, key=lambda load: load.offered_rps):
        if load.void:
            unknown = True
            continue
        lost = load.returned < 1.0 - objective.allowed_loss
        if lost or not load.latency_ns <= limit:
            if passing is None:
                return MaxLoad(state=State.BELOW_FIRST, rps=load.offered_rps)
            if unknown:
                return MaxLoad(state=State.BETWEEN, rps=passing.offered_rps, below=load.offered_rps)
            # What was lost has no latency: where the rest looks fine, nothing can be interpolated.
            failing = load.latency_ns if load.latency_ns > limit else math.inf
            rps = _interpolate(passing.offered_rps, worst, load.offered_rps, failing, limit)
            highest = max(passing.offered_rps, load.achieved_rps)
            return MaxLoad(state=State.MEASURED, rps=min(rps, highest))
        passing, worst, unknown = load, max(worst, load.latency_ns), False
    assert passing is not None
    return MaxLoad(state=State.NOT_REACHED, rps=passing.offered_rps)


def _interpolate(x0: float, p0: float, x1: float, p1: float, limit: float) -> float:
    if math.isinf(p1) or p0 <= 0.0:
        return x0
    return x0 + (x1 - x0) * math.log(limit / p0) / math.log(p1 / p0)


def combine(answers: Sequence[MaxLoad], objective: Objective) -> SloResult:
    """The median answer of the repetitions that have one, with an interval when all are numbers.

    Of two middle answers that are not both numbers the lower one counts. Where one repetition
    passed everywhere and another nowhere, there is no middle: they are undecided.
    """
    known = [answer for answer in answers if answer.state is not State.NO_POINTS]
    if not known:
        nothing = MaxLoad(state=State.NO_POINTS, rps=float("nan"))
        return SloResult(objective=objective, median=nothing, estimate=None, answers=tuple(answers))
    if all(answer.state is State.MEASURED for answer in known):
        estimate = median_interval([answer.rps for answer in known])
        middle = MaxLoad(state=State.MEASURED, rps=estimate.value)
        return SloResult(
            objective=objective, median=middle, estimate=estimate, answers=tuple(answers)
        )
    if {State.BELOW_FIRST, State.NOT_REACHED} <= {answer.state for answer in known}:
        nothing = MaxLoad(state=State.UNDECIDED, rps=float("nan"))
        return SloResult(objective=objective, median=nothing, estimate=None, answers=tuple(answers))
    ordered = sorted(known, key=lambda answer: (_ORDER[answer.state], answer.rps))
    middle = ordered[(len(ordered) - 1) // 2]
    return SloResult(objective=objective, median=middle, estimate=None, answers=tuple(answers))


def under_slo(points: Points, series: Series, objective: Objective) -> SloResult:
    """The answer for one variant under one workload. Needs open-loop points."""
    by_repetition: dict[int, list[Load]] = {}
    sent = _by_trial(points, series, "sent")
    completed = _by_trial(points, series, "completed")
    achieved = _by_trial(points, series, "achieved_rps")
    for point in points.curve(series, objective.metric):
        for sample in (*point.valid, *point.invalid):
            loads = by_repetition.setdefault(sample.repetition, [])
            if math.isnan(point.offered_rps):
                continue
            asked = sent.get(sample.trial, 0.0)
            returned = completed.get(sample.trial, 0.0) / asked if asked else 1.0
            loads.append(
                Load(
                    offered_rps=point.offered_rps,
                    latency_ns=sample.value * 1e3,
                    returned=returned,
                    achieved_rps=achieved.get(sample.trial, math.inf),
                    void=bool(sample.reason),
                )
            )
    answers = [max_load(by_repetition[one], objective) for one in sorted(by_repetition)]
    return combine(answers, objective)


def _by_trial(points: Points, series: Series, metric: str) -> Mapping[str, float]:
    return {
        sample.trial: sample.value
        for point in points.curve(series, metric)
        for sample in point.valid
    }
