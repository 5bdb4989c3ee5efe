# SPDX-License-Identifier: Apache-2.0
"""Cells: what a nightly regression compares. A cell is one metric of one point of one experiment,
with its samples; baselines and nightly results are files of cells, one a line."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.analysis.fields import Fields
from orchestrator.analysis.points import Point, Points, Sample
from orchestrator.analysis.verdicts import VIRTUAL, Side, noise_of_halves
from orchestrator.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Which cell. experiment: its name within the suite. offered_rps: None in a closed loop."""

    experiment: str
    variant: str
    stack: str
    app: str
    workload: str
    clock: str
    offered_rps: float | None
    metric: str

    @property
    def name(self) -> str:
        """As a user writes it; not quite unique where a variant has several workloads."""
        load = "-" if self.offered_rps is None else f"{self.offered_rps:g}"
        return f"{self.experiment}/{self.variant}/{load}/{self.metric}"

    @property
    def full_name(self) -> str:
        return f"{self.name} ({self.workload})"

    @property
    def group(self) -> tuple[str, str, str]:
        """What is shown together: all of a variant under one workload."""
        return self.experiment, self.variant, self.workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """noise: what changed, as shares, between two measurements of this same cell."""

    key: Key
    unit: str
    direction: str
    valid: tuple[Sample, ...]
    invalid: tuple[Sample, ...] = ()
    noise: tuple[float, ...] = ()

    @property
    def side(self) -> Side:
        return Side(valid=self.valid, invalid=self.invalid)


def cells_of(experiment: str, points: Points, metrics: Sequence[str]) -> list[Cell]:
    """The cells of a run, in the order of its series and of `metrics`."""
    return [
        _cell(experiment, point)
        for series in points.series
        for metric in metrics
        for point in points.curve(series, metric)
    ]


def _cell(experiment: str, point: Point) -> Cell:
    series = point.series
    key = Key(
        experiment=experiment,
        variant=series.variant,
        stack=series.stack,
        app=series.app,
        workload=series.workload,
        clock=series.clock,
        offered_rps=None if math.isnan(point.offered_rps) else point.offered_rps,
        metric=point.metric,
    )
    return Cell(
        key=key,
        unit=point.unit,
        direction=point.direction,
        valid=point.valid,
        invalid=point.invalid,
        noise=() if series.clock == VIRTUAL else noise_of_halves(point.valid),
    )


def find_cell(wanted: str, keys: Iterable[Key]) -> Key:
    """The one cell whose name is meant: whole, as a shell pattern, or words that occur in it.

    Raises UsageError with the names that come into question."""
    known = list(keys)
    for matches in (_named, _fitting, _holding):
        found = [key for key in known if matches(wanted, key)]
        if len(found) == 1:
            return found[0]
        if found:
            break
    names = "\n".join(f"  {key.full_name}" for key in (found or known)[:20])
    what = f"{len(found)} cells are" if found else "no cell is"
    raise UsageError(f"{what} called {wanted!r}", details=f"cells:\n{names}")


def _named(wanted: str, key: Key) -> bool:
    return wanted in (key.name, key.full_name)


def _fitting(wanted: str, key: Key) -> bool:
    return fnmatchcase(key.name, wanted) or fnmatchcase(key.full_name, wanted)


def _holding(wanted: str, key: Key) -> bool:
    return all(word in key.full_name for word in wanted.split())


# -- as text


def to_json(cell: Cell) -> dict[str, Any]:
    return {
        **asdict(cell.key),
        "unit": cell.unit,
        "direction": cell.direction,
        "samples": [[one.trial, one.seed, one.repetition, one.value] for one in cell.valid],
        "void": [[one.trial, one.seed, one.repetition, one.reason] for one in cell.invalid],
        "noise": list(cell.noise),
    }


def from_json(fields: Fields) -> Cell:
    """Raises RawError for what is no cell."""
    noise = fields.get("noise")
    if not isinstance(noise, list) or not all(isinstance(one, float | int) for one in noise):
        raise fields.error("noise", "is no list of numbers")
    return Cell(
        key=key_from(fields),
        unit=fields.text("unit"),
        direction=fields.text("direction"),
        valid=tuple(_samples(fields, "samples", float)),
        invalid=tuple(_samples(fields, "void", str)),
        noise=tuple(map(float, noise)),
    )


def key_from(fields: Fields) -> Key:
    """The key of what was written with its fields."""
    texts = ("experiment", "variant", "stack", "app", "workload", "clock", "metric")
    offered = fields.number("offered_rps") if fields.has("offered_rps") else None
    return Key(offered_rps=offered, **{name: fields.text(name) for name in texts})


def _samples(fields: Fields, name: str, kind: type[float] | type[str]) -> Iterator[Sample]:
    listed = fields.get(name)
    for entry in listed if isinstance(listed, list) else [None]:
        match entry:
            case [str(trial), int(seed), int(repetition), float() | int() as value] if (
                kind is float
            ):
                number, reason = float(value), ""
            case [str(trial), int(seed), int(repetition), str(text)] if kind is str:
                number, reason = float("nan"), text or "void"
            case _:
                raise fields.error(name, "is no list of [trial, seed, repetition, value]")
        yield Sample(trial=trial, seed=seed, repetition=repetition, value=number, reason=reason)


def render(head: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    """A JSON object with `head` and `cells`, a line for each cell, so that diffs are readable."""
    lines = [json.dumps(to_json(cell), ensure_ascii=False) for cell in cells]
    top = json.dumps(dict(head), indent=1, ensure_ascii=False)
    body = ",\n  ".join(lines)
    return top[: top.rindex("\n}")] + f',\n "cells": [\n  {body}\n ]\n}}\n'
