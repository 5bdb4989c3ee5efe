# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file: no network, no other file, readable without JavaScript."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from markupsafe import Markup

from orchestrator.analysis import Balance, Estimate, Outcome, Results
from orchestrator.analysis.raw import Crosscheck, Record
from orchestrator.analysis.statistics import ENUMERATED_UP_TO, median_interval
from orchestrator.analysis.summary import belongs
from orchestrator.report import formats, html, provenance
from orchestrator.report.catalogue import Chart, Group
from orchestrator.report.columns import lowest_load, summary_columns
from orchestrator.report.naming import Row, name_rows
from orchestrator.report.render import inline
from orchestrator.words import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A chart with its SVG for the page, or why there is none, and the command that makes its
    files anew."""

    chart: Chart
    svg: Markup
    failure: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number with its interval; sort: what a table is sorted by."""

    text: str
    note: str = ""
    sort: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """index: from 1, as in a plan."""

    index: int
    id: str
    kind: str
    variant: str
    repetition: int
    seed: int
    cells: tuple[Cell, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One point as two generators saw it."""

    variant: str
    workload: str
    generator: str
    offered: str
    metric: str
    ours: str
    theirs: str
    ratio: str


def page(
    results: Results,
    groups: Sequence[Group],
    svgs: Mapping[str, bytes],
    failures: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The HTML text. svgs: figure name -> SVG; failures: figure name -> why it was not drawn."""
    environment = html.environment()
    environment.filters |= {
        "estimate": formats.estimate,
        "interval": formats.interval,
        "rate": formats.rate,
        "time_us": formats.time_us,
        "share": formats.share,
        "significant": formats.significant,
        "heading": _heading,
    }
    manifest, named, repetitions = results.manifest, name_rows(results), _repetitions(results)
    return environment.get_template("template.html.j2").render(
        title=manifest.get("title") or results.run,
        results=results,
        script=html.part("report.js"),
        tcg=provenance.accelerator_kind(manifest) == "tcg" and "wall" in results.clocks,
        clock=" and ".join(results.clocks) or "no",
        headlines=headlines(results, named.rows),
        objective=formats.objective(results.objective),
        repetitions=repetitions,
        range_only=1 < repetitions <= ENUMERATED_UP_TO,
        named=named,
        summary=summary_columns(results, named.rows),
        lowest=lowest_load(results.summaries),
        counted=counted(results, named.rows),
        groups=[
            (group, [_drawn(results, one, svgs, failures) for one in group.charts])
            for group in groups
        ],
        balances=_balances(named.rows),
        outcomes=Outcome,
        checks=crosschecks(results),
        trials=trial_rows(results.records),
        facts=provenance.facts(manifest),
        attachments=provenance.attachments(manifest),
    )


def headlines(results: Results, rows: Sequence[Row]) -> list[str]:
    """The verdict in a few sentences: what was measured, what counts, what was claimed."""
    loads = [one for one in results.records if one.trial.kind == "measure"]
    if not loads:
        return ["Nothing was measured."]
    void = results.invalid
    valid = f"{len(loads) - void} of {len(loads)} load trials are valid"
    sentences = [f"{valid}." if not void else f"{valid}; the others are shown and not averaged in."]
    best = [row for row in rows if row.summary.max_throughput is not None]
    for app in dict.fromkeys(row.summary.series.app for row in best):
        own = [row for row in best if row.summary.series.app == app]
        top = max(own, key=_throughput)
        if len(own) > 1:
            achieved = formats.at_least(top.summary)
            sentences.append(f"Highest {app} throughput: {top.name}, {achieved} requests/s.")
    return [*sentences, *_claimed([claim.outcome for claim in results.claims])]


def _claimed(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What was not measured, because another part of the experiment was run, counts as no miss."""
    decided = [one for one in outcomes if one is not Outcome.NOT_MEASURABLE]
    if decided:
        met = decided.count(Outcome.REPRODUCED)
        yield f"{met} of {len(decided)} claims reproduced."
    if left := len(outcomes) - len(decided):
        yield f"{count_of(left, 'claim')} not measurable here."


def _throughput(row: Row) -> float:
    best = row.summary.max_throughput
    return 0.0 if best is None else best.value


def _heading(text: str) -> str:
    """The words of a column at the beginning of a line; `p99` stays as it is, and
    what an objective consists of stays on one line."""
    whole = re.sub(r" ≤ (\S+) (?=\S+$)", "\u00a0≤\u00a0\\1\u00a0", text)
    return whole if re.match(r"p\d", whole) else whole[:1].upper() + whole[1:]


def _repetitions(results: Results) -> int:
    """The largest number of valid repetitions of a point."""
    return max(
        (
            point.estimate.n
            for series in results.points.series
            for point in results.points.curve(series, "achieved_rps")
            if point.estimate is not None
        ),
        default=0,
    )


def counted(results: Results, rows: Sequence[Row]) -> list[str]:
    """Where system calls and packets were counted, and why not where they were not."""
    trials = [record for record in results.records if record.trial.kind == "accounting"]
    if not trials:
        return ["This run counted no system calls: it had no accounting trials."]
    places: dict[str, list[str]] = {}
    failures = []
    for record in trials:
        name = next(
            (row.name for row in rows if belongs(record, row.summary.series)), record.trial.subject
        )
        offered = record.trial.offered_rps
        load = "" if math.isnan(offered) else f" at {formats.rate(offered)} requests/s"
        if record.syscalls is not None:
            places.setdefault(load, []).append(name)
        else:
            why = record.faults.get("syscalls") or record.trial.reason or "it left no counts"
            failures.append(f"Counting {name}{load} failed: {why}.")
    where = "; ".join(f"{', '.join(names)}{load}" for load, names in places.items())
    told = f"Counted in one trial of each variant: {where}."
    return [*([told] if places else []), *failures]


def _drawn(
    results: Results, chart: Chart, svgs: Mapping[str, bytes], failures: Mapping[str, str]
) -> Drawn:
    failure = failures.get(chart.name, "")
    return Drawn(
        chart=chart,
        svg=Markup("") if failure else Markup(inline(svgs[chart.name], chart.title)),
        failure=failure,
        command=f"./ringbed report {results.run} --figure {chart.name}",
    )


def _balances(rows: Sequence[Row]) -> list[tuple[Row, str, Balance]]:
    found = []
    for row in rows:
        parts = (
            ("connections accepted", row.summary.accept),
            ("requests served", row.summary.serve),
        )
        found += [(row, what, balance) for what, balance in parts if balance is not None]
    return found


def trial_rows(records: Sequence[Record]) -> list[TrialRow]:
    """Every trial, in the order of execution."""
    return [
        TrialRow(
            index=record.trial.index + 1,
            id=record.trial.id,
            kind=record.trial.kind,
            variant=record.trial.subject or "unknown",
            repetition=record.trial.repetition,
            seed=record.trial.seed,
            cells=_cells(record),
            reason=record.reason or "; ".join(record.faults.values()),
        )
        for record in records
    ]


def _cells(record: Record) -> tuple[Cell, ...]:
    """offered, achieved, p50, p99, p99.9, adherence, errors."""
    offered = _cell(record.trial.offered_rps, formats.rate)
    load = record.load
    if load is None:
        return (offered, *(Cell(text=formats.NOTHING, sort=-1.0) for _ in range(6)))
    latency = (_cell(load.latency.quantile(q) / 1e3, formats.time_us) for q in (0.5, 0.99, 0.999))
    return (
        offered,
        _cell(load.achieved_rps, formats.rate),
        *latency,
        _cell(load.adherence, formats.share),
        _cell(float(sum(load.errors.values())), formats.rate),
    )


def _cell(value: float, text: formats.Formatter) -> Cell:
    return Cell(text=text(value), sort=-1.0 if math.isnan(value) else value)


def crosschecks(results: Results) -> list[CheckRow]:
    """Where a second generator drove the same point: medians of its figures beside ours."""
    found: dict[tuple[str, str, float, str], list[Crosscheck]] = {}
    for record in results.records:
        if record.crosscheck is not None:
            trial = record.trial
            # NaN is not equal to itself: a closed loop, which offers nothing, counts as 0 here.
            offered = 0.0 if math.isnan(trial.offered_rps) else trial.offered_rps
            key = (trial.subject, trial.workload_label, offered, record.crosscheck.generator)
            found.setdefault(key, []).append(record.crosscheck)
    return [row for key, seen in found.items() for row in _check_rows(results, key, seen)]


def _check_rows(
    results: Results, key: tuple[str, str, float, str], seen: Sequence[Crosscheck]
) -> Iterator[CheckRow]:
    subject, workload, offered, generator = key
    ours = _our_estimates(results, subject, workload, offered)
    theirs = {
        "achieved_rps": ("requests/s", [one.achieved_rps for one in seen]),
        "latency_mean": ("us", [one.mean_ns / 1e3 for one in seen]),
    }
    for name in sorted(seen[0].percentiles):
        values = [one.percentiles[name] / 1e3 for one in seen if name in one.percentiles]
        theirs[f"latency_{name}"] = ("us", values)
    for metric, (unit, values) in theirs.items():
        own = ours.get(metric)
        their = median_interval(values)
        ratio = their.value / own.value if own is not None and own.value else float("nan")
        yield CheckRow(
            variant=subject,
            workload=workload,
            generator=generator,
            offered=formats.rate(offered) if offered else formats.NOTHING,
            metric=metric,
            ours=formats.estimate(own, unit),
            theirs=formats.estimate(their, unit),
            ratio=formats.significant(ratio),
        )


def _our_estimates(
    results: Results, subject: str, workload: str, offered: float
) -> dict[str, Estimate]:
    return {
        point.metric: point.estimate
        for point in results.points
        if point.series.variant == subject
        and point.series.workload == workload
        and point.estimate is not None
        and (point.offered_rps == offered or (math.isnan(point.offered_rps) and not offered))
    }
