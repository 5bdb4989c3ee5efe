# SPDX-License-Identifier: Apache-2.0
"""`ringbed nightly`, `explain` and `trend`: a suite against its baseline, night for night."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli import report as reports
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.explain import explain
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    Baselines,
    ExecutorKind,
    History,
    Hosts,
    Jobs,
    Json,
    Locked,
    Quiet,
    RunsDir,
    SlurmConfig,
    Suite,
    Verbose,
    baselines_dir,
    example,
    history_dir,
)
from orchestrator.cli.progress import Reporter, reporter
from orchestrator.cli.run import Watch
from orchestrator.errors import ExitCode, InfrastructureError, UsageError

if TYPE_CHECKING:
    from orchestrator.analysis.baseline import Baseline
    from orchestrator.analysis.cells import Cell
    from orchestrator.analysis.nightly import About, Nightly
    from orchestrator.analysis.nightly import Part as PartResult
    from orchestrator.run.session import Settings
    from orchestrator.run.suites import Measured
    from orchestrator.spec import Part
    from orchestrator.spec import Suite as SuiteModel


def nightly(
    wanted: Suite,
    jobs: Jobs = None,
    locked: Locked = False,
    archive: Archive = "",
    executor: ExecutorKind = "local",
    connect: Hosts = [],  # noqa: B006
    slurm_config: SlurmConfig = None,
    baselines: Baselines = None,
    history: History = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Measure a suite and compare it with its baseline (exit code 1 when something is slower)."""
    from orchestrator.analysis import baseline
    from orchestrator.run import session, suites
    from orchestrator.run.places import where
    from orchestrator.spec import find_suite, load_suite

    suite, parts = load_suite(find_suite(wanted))
    # Before anything is measured: a damaged baseline must not cost a night.
    accepted = baseline.read(baselines_dir(baselines), suite.name)
    settings = session.Settings(
        runs_dir=runs_dir,
        where=where(executor, slots=jobs, connect=connect, slurm=slurm_config),
        locked=locked,
        archive=archive,
    )
    suites.check(parts, settings)
    begin = time.monotonic()
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    silent = as_json or output.is_quiet()
    with caches_in_use(), reporter(output.err, silent=silent) as to:
        measured = _measure(parts, settings, to)
        results, cells, host = _evaluate(measured)
    place = suites.create(runs_dir, suite.name)
    about = _about(suite, place, host, started, time.monotonic() - begin)
    _finish(place, about, results, cells, accepted, history_dir(history, runs_dir), as_json)


def _measure(parts: "Sequence[Part]", settings: "Settings", to: Reporter) -> "list[Measured]":
    from orchestrator.run import suites

    return suites.measure(
        parts,
        settings,
        lambda _: Watch(to),
        lambda part, error: output.warn(f"{part.name}: {error.message}"),
    )


def _evaluate(measured: "Sequence[Measured]") -> "tuple[list[PartResult], list[Cell], str]":
    """The report of every run, all cells together, and the host they are from."""
    from orchestrator.analysis.cells import cells_of
    from orchestrator.analysis.nightly import Part as PartResult
    from orchestrator.analysis.nightly import host_of

    results, cells, host = [], [], ""
    for one in measured:
        failure = one.failure
        if one.run is not None:
            try:
                found = reports.write(one.run).results
                cells += cells_of(one.part.name, found.points, one.part.metrics)
                host = host or host_of(found.manifest)
            except InfrastructureError as error:
                failure = failure or error.message
        results.append(
            PartResult(
                name=one.part.name,
                file=one.part.experiment.source.name,
                overrides=one.part.entry.overrides,
                run=one.run.name if one.run is not None else "",
                failure=failure,
            )
        )
    return results, cells, host


def _about(suite: "SuiteModel", place: Path, host: str, started: str, seconds: float) -> "About":
    from orchestrator.analysis.nightly import About
    from orchestrator.run import manifest, repository

    source = manifest.source_state(place, 1)
    commit = source["commit"]
    return About(
        name=place.name,
        suite=suite.name,
        title=suite.title,
        commit=commit,
        subject=repository.describe(commit).subject if commit else "",
        dirty=source["dirty"],
        started=started,
        seconds=round(seconds, 1),
        host=host,
    )


def _finish(
    place: Path,
    about: "About",
    parts: "Sequence[PartResult]",
    cells: "Sequence[Cell]",
    accepted: "Baseline | None",
    history: Path,
    as_json: bool,
) -> None:
    """Judge, write everything down, tell, and end with the exit code."""
    from orchestrator.analysis import history as histories
    from orchestrator.analysis import nightly as results
    from orchestrator.report import write_nightly, write_trends

    found = results.judge_all(about, parts, cells, accepted)
    results.write(place, found)
    histories.append(history, found)
    files = write_nightly(place, found, history)
    trends = histories.read(history, about.suite)
    files["history"] = write_trends(history, about.suite, trends)
    if as_json:
        _print_json(place, found, files)
    else:
        _print(place, found, files)
    code = exit_code(found)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def exit_code(found: "Nightly") -> ExitCode:
    """NOT_MET when a cell is slower, NOT_MEASURED when one of the baseline could not be compared
    or there is no baseline, INCONCLUSIVE when one was left undecided."""
    from orchestrator.analysis import Verdict

    return {
        Verdict.SLOWER: ExitCode.NOT_MET,
        Verdict.NOT_MEASURED: ExitCode.NOT_MEASURED,
        Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    }.get(found.verdict, ExitCode.OK)


def _print_json(place: Path, found: "Nightly", files: dict[str, Path]) -> None:
    output.show_json(
        {
            "nightly": found.about.name,
            "path": str(place),
            "suite": found.about.suite,
            "commit": found.about.commit,
            "baseline": list(found.baseline_commits),
            "verdict": found.verdict,
            "counts": dict(found.counts),
            "cells": [
                {
                    "cell": one.key.name,
                    "workload": one.key.workload,
                    "verdict": one.judgement.verdict,
                    "why": one.judgement.why,
                    "ratio": one.judgement.ratio.value if one.judgement.ratio else None,
                }
                for one in found.outcomes
            ],
            "failures": {part.name: part.failure for part in found.parts if part.failure},
            "files": {what: str(path) for what, path in files.items()},
        }
    )


def _print(place: Path, found: "Nightly", files: dict[str, Path]) -> None:
    from orchestrator.report import nightly as views
    from orchestrator.report.terminal import VERDICT, comparisons

    output.out.print(f"commit    {views.commit_of(found)}", soft_wrap=True)
    output.out.print(f"baseline  {views.against(found)}", soft_wrap=True)
    loud = [views.row(one) for one in found.outcomes if views.calls_for_a_look(one)]
    for part in comparisons(loud, views.NAMES):
        verdict = part.headers.index(VERDICT)
        rows: list[list[str | Text]] = [
            [*row[:verdict], output.styled(row[verdict]), *row[verdict + 1 :]] for row in part.rows
        ]
        output.out.print()
        output.show_table(part.title, part.headers, rows)
        for note in part.notes:
            output.out.print(f"  {note}", soft_wrap=True)
    for one in found.parts:
        if one.failure:
            text = Text.assemble(("not measured in full", "red"), f"  {one.name}: {one.failure}")
            output.out.print(text, soft_wrap=True)
    output.out.print()
    headline = Text.assemble(output.styled(str(found.verdict)), f"  {views.headline(found)}")
    output.out.print(headline, soft_wrap=True)
    if not found.baseline_accepted:
        output.out.print(
            f"  ./ringbed baseline accept {found.about.name}   makes this result the baseline",
            soft_wrap=True,
        )
    output.out.print()
    for what, path in files.items():
        output.out.print(f"{what:<8} {path}", soft_wrap=True)


def trend(
    wanted: Suite,
    history: History = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Show where the levels of a suite's metrics changed, and write the page of its history."""
    from orchestrator.analysis import history as histories
    from orchestrator.report import write_trends

    folder = history_dir(history, runs_dir)
    suite = Path(wanted).stem if wanted.endswith(".yml") else wanted
    trends = histories.read(folder, suite)
    if not trends:
        raise _no_history(folder, suite)
    page = write_trends(folder, suite, trends)
    if as_json:
        entries = [
            {
                "cell": one.key.name,
                "workload": one.key.workload,
                "values": list(one.values),
                "commits": [night.commit for night in one.nights],
                "changes": [one.nights[place].commit for place in one.changes],
            }
            for one in trends
        ]
        output.show_json({"suite": suite, "page": str(page), "trends": entries})
        return
    rows = [
        [
            one.key.name,
            str(len(one.values)),
            ", ".join(one.nights[p].commit[:10] for p in one.changes),
        ]
        for one in trends
    ]
    output.show_table("", ["cell", "nights>", "changed at"], rows)
    output.out.print(f"\nhistory  {page}", soft_wrap=True)


def _no_history(folder: Path, suite: str) -> UsageError:
    """With what there is history of, and how to begin one or what may have been meant."""
    from orchestrator.spec import find_suite
    from orchestrator.spec.faults import nearest

    known = sorted(path.stem for path in folder.glob("*.jsonl"))
    there = f"; there is one of {', '.join(known)}" if known else ""
    try:
        find_suite(suite)
        hint = f"it begins with ./ringbed nightly {suite}"
    except UsageError as error:
        found = nearest(suite, known)
        hint = f"did you mean {found}?" if found else error.hint
    return UsageError(f"{folder} has no history of {suite}{there}", hint=hint)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("nightly nightly"))(nightly)
    app.command(epilog=example("explain latest 'quickstart/*/latency_p99'"))(explain)
    app.command(epilog=example("trend nightly"))(trend)
