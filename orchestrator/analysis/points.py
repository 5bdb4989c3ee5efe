# SPDX-License-Identifier: Apache-2.0
"""Repetitions of one measurement point, brought together.

A point is one variant under one workload at one offered load. Only valid repetitions enter its
median; the others stay beside it with their reasons.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from orchestrator.analysis.statistics import Estimate, median_interval
from orchestrator.spec.units import natural_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What makes one curve. Curves share a figure only when everything but variant and stack
    is the same."""

    variant: str
    stack: str
    app: str
    workload: str
    clock: str

    @property
    def panel(self) -> "Panel":
        return Panel(app=self.app, workload=self.workload, clock=self.clock)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Panel:
    """What all curves of one figure have in common."""

    app: str
    workload: str
    clock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One repetition's value; reason is empty when it is valid."""

    trial: str
    repetition: int
    value: float
    reason: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One metric at one point. offered_rps is NaN in a closed loop.

    estimate is None when no repetition is valid.
    """

    series: Series
    offered_rps: float
    metric: str
    unit: str
    direction: str
    estimate: Estimate | None
    valid: tuple[Sample, ...]
    invalid: tuple[Sample, ...]


class Points:
    """All points of a table, found by series and metric."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = tuple(points)
        self._curves: dict[tuple[Series, str], list[Point]] = {}
        for point in self._points:
            self._curves.setdefault((point.series, point.metric), []).append(point)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def series(self) -> list[Series]:
        """In the order in which reports name them."""
        return list(dict.fromkeys(point.series for point in self._points))

    @property
    def panels(self) -> list[Panel]:
        return list(dict.fromkeys(series.panel for series in self.series))

    def of_panel(self, panel: Panel) -> list[Series]:
        return [series for series in self.series if series.panel == panel]

    def curve(self, series: Series, metric: str) -> list[Point]:
        """The points of one metric by ascending offered load."""
        points = self._curves.get((series, metric), [])
        return sorted(points, key=lambda point: (math.isnan(point.offered_rps), point.offered_rps))

    def metrics(self, series: Series) -> list[str]:
        return [metric for key, metric in self._curves if key == series]


def points(frame: pd.DataFrame, variants: Sequence[str] = ()) -> Points:
    """Group the tidy table's rows into points. Rows that belong to no variant are left to the
    table of trials: nothing is known about them but that they failed.

    variants: their order in the experiment's file. Trials take turns in an order of their own,
    which is nobody's order of reading: series are sorted by variant, then by what was varied.
    """
    groups: dict[tuple[Series, float | None, str], list[tuple[object, ...]]] = {}
    names = ["variant", "stack", "app", "workload", "clock", "offered_rps", "metric", "unit"]
    names += ["direction", "trial", "repetition", "value", "valid", "reason", "seed"]
    for row in zip(*(frame[name].tolist() for name in names), strict=True):
        if not row[0]:
            continue
        series = Series(variant=row[0], stack=row[1], app=row[2], workload=row[3], clock=row[4])
        offered = None if math.isnan(row[5]) else row[5]
        groups.setdefault((series, offered, row[6]), []).append(row)
    ordered = sorted(groups, key=lambda key: _reading_order(key[0], variants))
    return Points(_point(*key, groups[key]) for key in ordered)


def _reading_order(series: Series, variants: Sequence[str]) -> tuple[object, ...]:
    # What follows the variant's name are axes that change it or its machines.
    name, _, axes = series.variant.partition(" ")
    place = variants.index(name) if name in variants else len(variants)
    return place, natural_key(axes), natural_key(series.workload)


def _point(
    series: Series, offered: float | None, metric: str, rows: Sequence[tuple[object, ...]]
) -> Point:
    samples = [_sample(row) for row in rows]
    valid = tuple(sample for sample in samples if not sample.reason)
    return Point(
        series=series,
        offered_rps=float("nan") if offered is None else offered,
        metric=metric,
        unit=str(rows[0][7]),
        direction=str(rows[0][8]),
        estimate=median_interval([sample.value for sample in valid]) if valid else None,
        valid=valid,
        invalid=tuple(sample for sample in samples if sample.reason),
    )


def _sample(row: tuple[object, ...]) -> Sample:
    trial, repetition, value, valid, reason, seed = row[9:15]
    assert isinstance(repetition, int) and isinstance(value, float) and isinstance(seed, int)
    if valid and math.isnan(value):
        reason = "no value"
    return Sample(
        trial=str(trial),
        repetition=repetition,
        value=value,
        reason="" if valid and not math.isnan(value) else str(reason) or "void",
        seed=seed,
    )
