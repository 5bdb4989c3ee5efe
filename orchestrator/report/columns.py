# SPDX-License-Identifier: Apache-2.0
"""The columns of the summary, the same for the terminal and for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis import Estimate, Results, Summary
from orchestrator.report import formats
from orchestrator.report.naming import Row
from orchestrator.spec.metrics import find_metric

# The first column that is no label; a closed loop has no other load to choose from.
THROUGHPUT, MAX_THROUGHPUT = "requests/s", "max requests/s"

# These have columns of their own, whether or not the experiment asks for them.
_ALWAYS = (
    "achieved_rps",
    "max_load_under_slo",
    "syscalls_per_request",
    "crossings_per_request",
    "packets_per_poll",
    "locality",
)
_SPOKEN = {
    "latency_mean": "mean latency",
    "latency_p50": "p50",
    "latency_p90": "p90",
    "latency_p99": "p99",
    "latency_p999": "p99.9",
    "latency_p9999": "p99.99",
    "latency_max": "longest latency",
    "get_latency_p50": "p50 of GET",
    "get_latency_p99": "p99 of GET",
    "set_latency_p50": "p50 of SET",
    "set_latency_p99": "p99 of SET",
    "accept_jain_index": "Jain's index of accepts",
    "served_jain_index": "Jain's index of requests",
    "server_events_per_poll": "events per wait",
    "server_cpu_per_request": "CPU time per request",
}
# Values in these units carry them, or need none.
_PLAIN_UNITS = ("us", "share", "ratio", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value as text; note: its interval, empty without one."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    heading: str
    cells: Sequence[Cell]

    @property
    def empty(self) -> bool:
        return all(cell.text == formats.NOTHING for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """notes: what has to be known to read them, a sentence each."""

    columns: Sequence[Column]
    notes: Sequence[str]


def summary_columns(results: Results, rows: Sequence[Row]) -> Columns:
    """Throughput, and all other columns that hold a value in at least one row."""
    summaries = [row.summary for row in rows]
    found: list[Column] = []
    if results.objective is not None and any(one.slo is not None for one in summaries):
        found.append(_max_load(summaries, formats.objective(results.objective)))
    found += (metrics := _metrics(results.metrics, summaries))
    found += [
        _estimates("system calls per request", "", [one.syscalls_per_request for one in summaries]),
        _estimates("crossings per request", "", [one.crossings_per_request for one in summaries]),
        _estimates("packets per batch", "", [one.packets_per_poll for one in summaries]),
        _estimates("locality", "share", [one.locality for one in summaries]),
    ]
    void = [Cell(text=f"{one.invalid}/{one.trials}") for one in summaries]
    return Columns(
        columns=[
            _throughput(summaries),
            *(one for one in found if not one.empty),
            Column(heading="void", cells=void),
        ],
        notes=_notes(results.metrics, metrics, summaries),
    )


def _throughput(summaries: Sequence[Summary]) -> Column:
    return Column(
        heading=MAX_THROUGHPUT if lowest_load(summaries) else THROUGHPUT,
        cells=[
            Cell(
                text=formats.at_least(one), note=formats.interval(one.max_throughput, "requests/s")
            )
            for one in summaries
        ],
    )


def _max_load(summaries: Sequence[Summary], objective: str) -> Column:
    return Column(
        heading=f"max load, {objective}",
        cells=[
            Cell(text=formats.slo(one.slo), note=formats.slo_spread(one.slo)) for one in summaries
        ],
    )


def _metrics(names: Sequence[str], summaries: Sequence[Summary]) -> list[Column]:
    """The metrics that the experiment asks for, at the lowest load."""
    where = lowest_load(summaries)
    columns = []
    for name in _own(names):
        values = [one.metrics[name] for one in summaries]
        known = find_metric(name)
        counted = known is not None and known.scope == "accounting"
        unit = values[0].unit if values else ""
        heading = spoken(name, unit) if counted or not where else f"{spoken(name, unit)} at {where}"
        columns.append(_estimates(heading, unit, [value.estimate for value in values]))
    return columns


def _own(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in _ALWAYS]


def spoken(metric: str, unit: str) -> str:
    """A metric in a heading, with its unit where its values do not show it."""
    if metric in _SPOKEN:
        return _SPOKEN[metric]
    words = metric.replace("_", " ")
    if unit in _PLAIN_UNITS:
        return words
    # Some names say their unit, and of what: instructions per request, user.
    before, rate, of_what = words.partition(unit.replace("/", " per "))
    if rate:
        return f"{before}{rate},{of_what}" if of_what else words
    # Others say only of what: locked [instructions] per request, user.
    what, _, each = unit.partition("/")
    before, rate, of_what = words.partition(f" per {each}")
    if each and rate:
        return f"{before} {what}{rate},{of_what}" if of_what else f"{before} {what}{rate}"
    return f"{words} ({unit})"


def lowest_load(summaries: Sequence[Summary]) -> str:
    """The load that the metrics are of: `100/s`; empty for closed loops."""
    loads = {one.lowest_rps for one in summaries if not math.isnan(one.lowest_rps)}
    if not loads:
        return ""
    return f"{formats.rate(min(loads))}/s" if len(loads) == 1 else "lowest load"


def _estimates(heading: str, unit: str, values: Sequence[Estimate | None]) -> Column:
    return Column(
        heading=heading,
        cells=[
            Cell(text=formats.estimate(value, unit), note=formats.interval(value, unit))
            for value in values
        ],
    )


def _notes(
    names: Sequence[str], metrics: Sequence[Column], summaries: Sequence[Summary]
) -> list[str]:
    notes = []
    for name, column in zip(_own(names), metrics, strict=True):
        if column.empty and summaries:
            why = next((why for one in summaries if (why := one.metrics[name].why)), "not measured")
            notes.append(f"No column for {column.heading}: {why}.")
    loads = {one.lowest_rps for one in summaries if not math.isnan(one.lowest_rps)}
    if len(loads) > 1:
        told = f"{formats.rate(min(loads))} to {formats.rate(max(loads))} requests/s"
        notes.append(f"The lowest valid load is not that of all rows: {told}.")
    return notes
