# SPDX-License-Identifier: Apache-2.0
"""What a request costs the dataplane, from a run of experiments/ix-cost, beside the project's bars.

A figure is the server's, and whole: all turns of its loop that found something to do, timers and
acknowledgements included. Empty polls stand beside it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.analysis.raw import Record
from orchestrator.analysis.results import Results
from orchestrator.analysis.summary import belongs

EXPERIMENT: Final = "ix-cost"
INSTRUCTIONS: Final = "instructions_per_request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A trial of the experiment: a variant with so many connections."""

    variant: str
    connections: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that was measured. bar: what it may be at most, None where it is only reported;
    of: the case that the bar is a multiple of; floor: frames that are only returned, in turns as
    full; beside: the same on Linux."""

    name: str
    what: str
    at: Place
    bar: float | None = None
    of: str = ""
    floor: Place | None = None
    beside: Place | None = None


FLOOR_AT: Final = Place(variant="l2")
FLOOR_ALONE_AT: Final = Place(variant="l2", connections=1)
FLOOR_SINGLE_AT: Final = Place(variant="l2-single")

CASES: Final = (
    Case(
        name="echo",
        what="64-byte echo, 32 connections",
        at=Place(variant="ix"),
        bar=900,
        floor=FLOOR_AT,
        beside=Place(variant="linux"),
    ),
    Case(
        name="get",
        what="`rb-kv` GET, 32 connections; Linux: memcached",
        at=Place(variant="ix-get"),
        bar=1300,
        floor=FLOOR_AT,
        beside=Place(variant="linux-get"),
    ),
    Case(
        name="set",
        what="`rb-kv` SET, 32 connections; Linux: memcached",
        at=Place(variant="ix-set"),
        bar=1600,
        floor=FLOOR_AT,
        beside=Place(variant="linux-set"),
    ),
    Case(
        name="short",
        what="a connection opened, used for one echo, closed in order",
        at=Place(variant="ix-short"),
        bar=4500,
        beside=Place(variant="linux-short"),
    ),
    Case(
        name="many",
        what="64-byte echo, 1,024 connections",
        at=Place(variant="ix", connections=1024),
        bar=1.05,
        of="echo",
        beside=Place(variant="linux", connections=1024),
    ),
    Case(
        name="most",
        what="64-byte echo, 100,000 connections, 32 of them at a time",
        at=Place(variant="ix", connections=100_000),
        bar=1.15,
        of="echo",
    ),
    Case(
        name="one",
        what="64-byte echo, one connection",
        at=Place(variant="ix", connections=1),
        bar=1300,
        floor=FLOOR_ALONE_AT,
        beside=Place(variant="linux", connections=1),
    ),
    Case(
        name="single",
        what="64-byte echo, 32 connections, turns of one packet (B = 1)",
        at=Place(variant="ix-single"),
        floor=FLOOR_SINGLE_AT,
    ),
)

ECHO: Final = CASES[0].at
ROUND_TRIP_AT: Final = Place(variant="ix", connections=1)
LINUX_ROUND_TRIP_AT: Final = Place(variant="linux-both", connections=1)
ROUND_TRIP_BAR_US: Final = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A case with its instructions per request; NaN where `why` says what stood in the way.

    against: what the bar is compared with. batch: requests of a turn that found something to do.
    idle: the share of the core's instructions that its idle turns executed. floor: instructions of
    a frame at the case's floor, NaN where it has none.
    """

    case: Case
    value: float
    against: float
    batch: float
    idle: float
    beside: float
    floor: float = math.nan
    why: str = ""

    @property
    def met(self) -> bool | None:
        """None where there is no bar, or nothing was measured."""
        if self.case.bar is None or math.isnan(self.against):
            return None
        return self.against <= self.case.bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """floor: instructions of a frame that is only returned, for the echo's turns, and of what mean
    batch. Round trips in microseconds: median, one connection, between two dataplanes and two Linux
    hosts."""

    figures: tuple[Figure, ...]
    floor: float
    floor_batch: float
    round_trip_us: float
    linux_round_trip_us: float

    @property
    def missed(self) -> bool:
        """Whether anything that was measured is above its bar."""
        slow = self.round_trip_us > ROUND_TRIP_BAR_US
        return slow or any(figure.met is False for figure in self.figures)


def costs(results: Results) -> Costs:
    """What a run of the experiment says."""
    found: dict[str, Figure] = {}
    for case in CASES:
        found[case.name] = _figure(results, case, found)
    return Costs(
        figures=tuple(found.values()),
        floor=_value(results, FLOOR_AT, INSTRUCTIONS)[0],
        floor_batch=_value(results, FLOOR_AT, "requests_per_turn")[0],
        round_trip_us=_value(results, ROUND_TRIP_AT, "latency_p50")[0],
        linux_round_trip_us=_value(results, LINUX_ROUND_TRIP_AT, "latency_p50")[0],
    )


def find(results: Results, at: Place) -> Record | None:
    """The first trial at a place."""
    for record in results.records:
        trial = record.trial
        same = (trial.variant, trial.workload.connections) == (at.variant, at.connections)
        if same and trial.kind == "measure":
            return record
    return None


def _figure(results: Results, case: Case, before: Mapping[str, Figure]) -> Figure:
    value, why = _value(results, case.at, INSTRUCTIONS)
    base = before[case.of].value if case.of else 1.0
    return Figure(
        case=case,
        value=value,
        against=value / base,
        batch=_value(results, case.at, "requests_per_turn")[0],
        idle=_idle(results, case.at),
        beside=_value(results, case.beside, INSTRUCTIONS)[0] if case.beside else math.nan,
        floor=_value(results, case.floor, INSTRUCTIONS)[0] if case.floor else math.nan,
        why=why,
    )


def _value(results: Results, at: Place, metric: str) -> tuple[float, str]:
    """The median of a metric at a place; or NaN, and why there is none."""
    record = find(results, at)
    if record is None:
        return math.nan, "not measured"
    for series in results.points.series:
        if belongs(record, series):
            for point in results.points.curve(series, metric):
                why = next((sample.reason for sample in point.invalid), "no value")
                return (point.estimate.value, "") if point.estimate else (math.nan, why)
    return math.nan, record.reason or "no value"


def _idle(results: Results, at: Place) -> float:
    record = find(results, at)
    if record is None or record.instructions is None:
        return math.nan
    server = record.trial.machines["server"]
    own = [cpu for cpu in record.instructions.cpus if cpu.machine == server]
    whole = sum(cpu.total for cpu in own)
    return sum(cpu.idle for cpu in own) / whole if whole else math.nan
