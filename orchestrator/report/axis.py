# SPDX-License-Identifier: Apache-2.0
"""A value axis for drawings made by hand: round values that span the data, and their texts."""

import math
from dataclasses import dataclass

# Steps between values that are read easily, in each power of ten.
_STEPS = (1, 2, 5, 10)
_MOST = 4
_UNITS_OF_US = (("s", 1e6), ("ms", 1e3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """unit: of the texts, which is the metric's own or one that reads better. ticks: values in the
    metric's unit, with their texts."""

    unit: str
    ticks: tuple[tuple[float, str], ...]


def axis(low: float, high: float, unit: str) -> Axis:
    """At least one, and up to _MOST round values from low to high, which differ."""
    name, factor = _shown_unit(high, unit)
    step = _step((high - low) / factor)
    first, last = math.ceil(low / factor / step), math.floor(high / factor / step)
    decimals = max(0, -math.floor(math.log10(step)))
    ticks = ((place * step * factor, place * step) for place in range(first, last + 1))
    return Axis(unit=name, ticks=tuple((at, f"{shown:,.{decimals}f}") for at, shown in ticks))


def _shown_unit(high: float, unit: str) -> tuple[str, float]:
    if unit == "share":
        return "%", 0.01
    if unit != "us":
        return unit, 1.0
    return next(((name, factor) for name, factor in _UNITS_OF_US if high >= factor), ("µs", 1.0))


def _step(span: float) -> float:
    """The smallest step of which at most _MOST values lie within a span."""
    power = 10.0 ** math.floor(math.log10(span / _MOST))
    return next(step * power for step in _STEPS if span / (step * power) < _MOST)
