# SPDX-License-Identifier: Apache-2.0
"""What parts of dataplane/ cost by themselves: instructions per operation, counted in-process.

Counts, not times: they are the same on every host and in every run, and they see neither caches nor
a device. The cases are the bars that docs/performance.md states.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator import process
from orchestrator.errors import InfrastructureError
from orchestrator.host import cchecks

TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure. bar: what it may be at most; of: the case that it is a multiple of.

    limits: what the bar is there for. arguments: of bench_net (dataplane/bench/bench_net.c).
    """

    name: str
    what: str
    arguments: Sequence[str]
    unit: str = "instructions"
    bar: float
    limits: str
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured case, per operation in the case's unit. against: what its bar is compared with;
    own: what the benchmark's application and device took beside it."""

    case: Case
    value: float
    against: float
    own: float = 0.0

    @property
    def met(self) -> bool:
        return self.against <= self.case.bar


CASES = (
    Case(
        name="request",
        what="64-byte request in, 64-byte reply out, 32 connections, 16 packets per turn",
        arguments=("request", "32", "2000"),
        bar=450,
        limits="the usual way of a segment in and a segment out, which every request pays",
    ),
    Case(
        name="many",
        what="the same with 100,000 connections, as a multiple",
        arguments=("request", "100000", "25000"),
        bar=1.15,
        limits="lookups and timers, which must not grow with the number of connections",
        of="request",
    ),
    Case(
        name="seldom",
        what="the same where each of the 100,000 asks once a second",
        arguments=("seldom", "100000", "25000"),
        bar=1.35,
        limits="what idle times cost: a timer that has run out, and one that is set anew",
        of="request",
    ),
    Case(
        name="short",
        what="handshake, one exchange, orderly close",
        arguments=("short", "600"),
        bar=2500,
        limits="connection management, which short connections pay for each request",
    ),
    Case(
        name="memory",
        what="an idle connection, the pools of data apart",
        arguments=("memory",),
        unit="bytes",
        bar=512,
        limits="what a million idle connections take of a host's memory: half a gigabyte",
    ),
)


def measure(case: Case, before: Sequence[Figure]) -> Figure:
    """Raises InfrastructureError when the program does not say what it should."""
    done = process.run(cchecks.bench_command(case.arguments), timeout=TIMEOUT_S)
    said = re.findall(r"^(operations|bytes) (\d+)$", done.stdout, re.MULTILINE)
    counted = re.findall(r"^own (\d+)\nlibrary (\d+)$", done.stdout, re.MULTILINE)
    if len(said) != 1 or len(counted) != 1:
        raise InfrastructureError(f"bench_net gave no figure for {case.name}", details=done.stdout)
    kind, number = said[0][0], int(said[0][1])
    if kind == "bytes":
        return Figure(case=case, value=float(number), against=float(number))
    own, value = (int(count) / number for count in counted[0])
    base = next((one.value for one in before if one.case.name == case.of), 1.0)
    return Figure(case=case, value=value, against=value / base if case.of else value, own=own)
