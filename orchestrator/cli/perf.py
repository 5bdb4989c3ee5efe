# SPDX-License-Identifier: Apache-2.0
"""`ringbed perf`: what the dataplane costs, its TCP/IP library by itself and the whole."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Json,
    Quiet,
    RunsDir,
    Set,
    Verbose,
    check_writable,
    example,
)
from orchestrator.cli.progress import Reporter, reporter
from orchestrator.errors import ExitCode, UsageError
from orchestrator.log import step
from orchestrator.run import directory
from orchestrator.run.directory import RunDirectory

if TYPE_CHECKING:
    from orchestrator.analysis import Results
    from orchestrator.analysis.stages import Breakdown


def perf(
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", metavar="FILE", help="Write the section of docs/performance.md there, too."
        ),
    ] = None,
    dataplane: Annotated[
        bool,
        typer.Option("--dataplane", help="Of whole requests on the dataplane, in guests: minutes."),
    ] = False,
    of_run: Annotated[
        str,
        typer.Option(
            "--run", metavar="RUN", help="With --dataplane: a run of ix-cost that there is already."
        ),
    ] = "",
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Count the instructions of the TCP/IP library or of the dataplane, per request and connection.

    Exit code 1 when a figure is above its bar.
    """
    if (of_run or changes) and not dataplane:
        raise UsageError(
            "--run and --set are for --dataplane", hint="the library is measured without guests"
        )
    if of_run and changes:
        raise UsageError("--run takes a run as it is", hint="leave out --set")
    if page is not None:
        check_writable("--page", page)
        # Before minutes are spent: whether it has the section.
        _written(page, dataplane, "")
    silent = as_json or output.is_quiet()
    with caches_in_use(), reporter(output.err, silent=silent) as to:
        if dataplane:
            run = directory.find(runs_dir, of_run) if of_run else _measure(changes, runs_dir, to)
            told = _dataplane(run)
        else:
            told = _library()
    if page is not None:
        page.write_text(_written(page, dataplane, told.section), encoding="utf-8")
    if as_json:
        output.show_json(told.data)
    else:
        for title, headers, rows in told.tables:
            output.show_table(title, headers, [[*row] for row in rows])
        output.out.print(told.last, soft_wrap=True, markup=False, end="")
    if not told.met:
        raise typer.Exit(ExitCode.NOT_MET)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What was measured: tables as title, headers and rows, what they do not have, all as data, and
    the section of the page. met: no bar was missed."""

    tables: list[tuple[str, list[str], list[list[str]]]]
    last: str = ""
    data: Any
    section: str
    met: bool


def _library() -> _Told:
    from orchestrator.host import bench
    from orchestrator.host.owned import OwnedDirectory, new_token
    from orchestrator.report import bench as views
    from orchestrator.run import manifest

    figures: list[bench.Figure] = []
    for case in bench.CASES:
        with step(f"counting: {case.name}"):
            figures.append(bench.measure(case, figures))
    with OwnedDirectory(new_token()) as scratch:  # for a diff that the page only mentions
        source = manifest.source_state(scratch.path, 1)
    rows = [views.row(one) for one in figures]
    return _Told(
        tables=[("What the TCP/IP library costs", views.HEADERS, rows)],
        data=[{**asdict(one), "met": one.met} for one in figures],
        section=views.section(figures, source),
        met=all(one.met for one in figures),
    )


def _dataplane(run: RunDirectory) -> _Told:
    from orchestrator.analysis.costs import costs
    from orchestrator.cli.report import write
    from orchestrator.report import costs as views

    results = write(run).results
    found, stages = costs(results), _stages(run, results)
    rows = [views.row(one) for one in found.figures]
    by_stage = "An echo with 32 connections, by stage"
    return _Told(
        tables=[
            ("What a request costs the dataplane", views.HEADERS, rows),
            (by_stage, views.STAGE_HEADERS, views.stage_rows(stages)),
        ],
        last=views.floor_and_round_trip(found),
        data={"run": run.name, **views.as_data(found, stages)},
        section=views.section(found, stages, results.manifest),
        met=not found.missed,
    )


def _measure(changes: Sequence[str], runs_dir: Path, to: Reporter) -> RunDirectory:
    from orchestrator.analysis.costs import EXPERIMENT
    from orchestrator.cli.run import Watch
    from orchestrator.run.session import Selection, Settings, start

    return start(
        EXPERIMENT, Selection(overrides=tuple(changes)), Settings(runs_dir=runs_dir), Watch(to)
    )


def _stages(run: RunDirectory, results: "Results") -> "Breakdown":
    """Where the instructions of the run's echo went: its trial once more, watched."""
    from orchestrator.analysis import costs
    from orchestrator.analysis.stages import breakdown, cpus_of
    from orchestrator.host import lines
    from orchestrator.host.cbuild import ensure_dataplane
    from orchestrator.host.owned import OwnedDirectory, new_token
    from orchestrator.run.profile import profile
    from orchestrator.run.session import Settings

    record = costs.find(results, costs.ECHO)
    if record is None or record.load is None or record.instructions is None:
        raise UsageError(
            f"{run.name} has no echo with {costs.ECHO.connections} connections on "
            f"{costs.ECHO.variant} that was measured",
            hint=f"./ringbed run {costs.EXPERIMENT}",
        )
    traced = ensure_dataplane("traced")
    programs = {name: traced.program(name) for name in ("dpos", "rb-echo")}
    with OwnedDirectory(new_token()) as place, run.locked():
        settings = Settings(runs_dir=run.path.parent)
        done = profile(run, record.trial.id, settings, place.path)
        with step("stages"):
            return breakdown(
                done.counts,
                done.pages,
                programs,
                lambda name, addresses: lines.chains(traced.tree, programs[name], addresses),
                cpus_of(record.instructions, record.trial.machines["server"]),
                record.load.answered,
            )


def _written(page: Path, dataplane: bool, body: str) -> str:
    """The page with another body of a section."""
    from orchestrator.report import performance

    name = performance.DATAPLANE if dataplane else performance.LIBRARY
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    return performance.replace_section(before, name, body, file=str(page))


def register(app: typer.Typer) -> None:
    app.command(epilog=example("perf --page docs/performance.md"))(perf)
