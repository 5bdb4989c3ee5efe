# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them. A value that does not exist is a dash."""

import math
from collections.abc import Callable

from orchestrator.analysis import Estimate, MaxLoad, Objective, SloResult, State, Summary

NOTHING = "–"

type Formatter = Callable[[float], str]


def significant(value: float, digits: int = 3) -> str:
    """At least `digits` significant digits, thousands grouped, no exponent."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    rounded = round(value, decimals)
    # 9.996 rounds up to 10.00: one digit fewer then shows the same precision.
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{rounded:,.{decimals}f}"


def rate(value: float) -> str:
    """Requests per second, without its unit."""
    return NOTHING if math.isnan(value) else f"{value:,.0f}"


def time_us(value: float, digits: int = 3) -> str:
    """A time in microseconds, in the unit that reads best."""
    if math.isnan(value):
        return NOTHING
    for limit, factor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms"), (math.inf, 1e6, "s")):
        if value < limit:
            return f"{significant(value / factor, digits)} {unit}"
    return f"∞ {unit}"


def share(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.1%}"


def quantity(value: float, unit: str) -> str:
    """A value in the unit of its metric."""
    if unit == "us":
        return time_us(value)
    if unit == "requests/s":
        return rate(value)
    if unit == "share":
        return share(value)
    if value == int(value) and abs(value) < 1e15 and unit in ("requests", "connections"):
        return f"{value:,.0f}"
    return significant(value)


def estimate(value: Estimate | None, unit: str) -> str:
    return NOTHING if value is None else quantity(value.value, unit)


def interval(value: Estimate | None, unit: str) -> str:
    """`low – high`; empty when there is no interval, or none that one could see."""
    if value is None or not value.has_interval:
        return ""
    low, high = quantity(value.low, unit), quantity(value.high, unit)
    return "" if low == high else f"{low} – {high}"


def ratio(value: float) -> str:
    """A ratio; where it is close to 1, with the digits that tell it from 1."""
    return f"{value:.5f}" if 0.0 < abs(value - 1.0) < 0.01 else f"{value:.3f}"


def ratio_span(value: Estimate | None) -> str:
    """`low – high`; empty when there is no interval, or none that one could see."""
    if value is None or not value.has_interval or value.low == value.high:
        return ""
    return f"{ratio(value.low)} – {ratio(value.high)}"


def slo(result: SloResult | None) -> str:
    """The largest load within the objective, with a sign where it is only a bound."""
    if result is None:
        return NOTHING
    if result.median.state is State.UNDECIDED:
        return f"undecided: {' · '.join(dict.fromkeys(map(_answer, result.answers)))}"
    return _answer(result.median)


def slo_spread(result: SloResult | None) -> str:
    """The interval of the answer, or what each repetition said when there is none."""
    if result is None or result.median.state is State.UNDECIDED:
        return ""
    if result.estimate is not None:
        return interval(result.estimate, "requests/s")
    answers = [_answer(one) for one in result.answers]
    return " · ".join(answers) if len(set(answers)) > 1 else ""


def _answer(answer: MaxLoad) -> str:
    match answer.state:
        case State.UNDECIDED:
            return "undecided"
        case State.NO_POINTS:
            return "no valid point"
        case State.BETWEEN:
            assert answer.below is not None
            return f"{rate(answer.rps)} – {rate(answer.below)}"
        case State.NOT_REACHED:
            return f"≥ {rate(answer.rps)}"
        case State.BELOW_FIRST:
            return f"< {rate(answer.rps)}"
        case State.MEASURED:
            return rate(answer.rps)


def objective(value: Objective | None) -> str:
    """The latency objective in words, such as `p99 ≤ 20 ms`; empty without one."""
    if value is None:
        return ""
    name = value.metric.removeprefix("latency_")
    spoken = {"p999": "p99.9", "p9999": "p99.99"}.get(name, name)
    return f"{spoken} ≤ {time_us(value.limit_ns / 1e3, 1)}"


def at_least(summary: Summary) -> str:
    """The largest throughput; a lower bound where the sweep ended before saturation."""
    if summary.max_throughput is None:
        return NOTHING
    return ("" if summary.saturated else "≥ ") + rate(summary.max_throughput.value)
