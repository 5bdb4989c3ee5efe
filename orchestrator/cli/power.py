# SPDX-License-Identifier: Apache-2.0
"""`ringbed power`: how sensitive verdicts on the virtual clock are."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import process
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    Jobs,
    Json,
    Locked,
    Quiet,
    RunsDir,
    Suite,
    Verbose,
    check_writable,
    example,
)
from orchestrator.cli.progress import Reporter, reporter
from orchestrator.cli.run import Watch
from orchestrator.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from orchestrator.analysis.cells import Cell
    from orchestrator.analysis.power import Power
    from orchestrator.run.power import Side
    from orchestrator.run.session import Settings
    from orchestrator.spec import Part

# The application whose source is here, so that work can be added to it.
OWN = "echo"
PAIRS = 36
SHARE = 0.01


def power(
    wanted: Suite,
    pairs: Annotated[
        int,
        typer.Option(
            "--pairs",
            metavar="N",
            min=1,
            help="Pairs with and pairs without added work, rounded up until every kind of change "
            "has met every experiment and set of seeds.",
        ),
    ] = PAIRS,
    share: Annotated[
        float,
        typer.Option(
            "--share", metavar="SHARE", min=0.0001, max=1.0, help="How much work is added."
        ),
    ] = SHARE,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Write the page of docs/ there, too."),
    ] = None,
    jobs: Jobs = None,
    locked: Locked = False,
    archive: Archive = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Measure what neutral changes do to a suite's metrics, and whether added work is seen.

    Exit code 1 when a neutral change raised an alarm or no cost showed added work, else 4 when a
    pair could not be judged.
    """
    from orchestrator.report import power as views
    from orchestrator.run import manifest, session
    from orchestrator.run import power as measuring
    from orchestrator.run.places import where
    from orchestrator.spec import find_suite, load_suite

    if page is not None:
        check_writable("--page", page)
    suite, parts = load_suite(find_suite(wanted))
    settings = session.Settings(
        runs_dir=measuring.place_of(runs_dir),
        where=where("local", slots=jobs, connect=[], slurm=None),
        locked=locked,
        archive=archive,
    )
    source = manifest.source_state(settings.runs_dir, 1)
    found = _measured(
        suite.name, parts, pairs, share, settings, silent=as_json or output.is_quiet()
    )
    _show(found, suite.title, source["commit"], as_json=as_json)
    if page is not None:
        text = views.page(found, suite, source, _command(wanted, pairs, share))
        page.write_text(text, encoding="utf-8")
    raise typer.Exit(_outcome(found))


def _measured(
    suite: str,
    parts: "Sequence[Part]",
    pairs: int,
    share: float,
    settings: "Settings",
    *,
    silent: bool,
) -> "Power":
    """Raises UsageError for a suite that cannot be measured."""
    from orchestrator.analysis.power import dealt, examine
    from orchestrator.run import power as measuring

    if any(part.experiment.clock != "virtual" for part in parts):
        raise UsageError(f"{suite} has experiments on the wall clock, where noise decides")
    own = [part for part in parts if measuring.apps(part, settings) == {OWN}]
    if not own:
        raise UsageError(
            f"no experiment of {suite} measures {OWN} alone, to which work can be added",
            hint="choose its variants by `only`",
        )
    if not silent and (rounded := dealt(pairs, parts, own)) != pairs:
        output.err.print(f"{rounded} pairs of each, so that all meet equally", soft_wrap=True)
    with caches_in_use(), reporter(output.err, silent=silent) as to:
        return examine(parts, own, pairs, Bench(settings, to, silent=silent), share)


def _outcome(found: "Power") -> ExitCode:
    from orchestrator.analysis.power import alarmed, detected, unjudged

    if alarmed(found) or detected(found) < len(found.slowed):
        return ExitCode.NOT_MET
    return ExitCode.INCONCLUSIVE if unjudged(found) else ExitCode.OK


def _command(suite: str, pairs: int, share: float) -> str:
    """What writes the page, from any checkout that has the suite."""
    from orchestrator.report.power import PAGE

    chosen = [] if pairs == PAIRS else ["--pairs", str(pairs)]
    chosen += [] if share == SHARE else ["--share", f"{share:g}"]
    return process.shell_form(["./ringbed", "power", suite, *chosen, "--page", PAGE])


def _show(found: "Power", title: str, commit: str, *, as_json: bool) -> None:
    from orchestrator.analysis.power import alarmed, detected, sensitivities, unjudged
    from orchestrator.report import power as views

    rows = sensitivities(found)
    if as_json:
        output.show_json(
            {
                "commit": commit,
                "share": found.share,
                "neutral_pairs": len(found.same),
                "alarmed": alarmed(found),
                "slowed_pairs": len(found.slowed),
                "detected": detected(found),
                "unjudged": unjudged(found),
                "metrics": [{**asdict(row), "least": row.least} for row in rows],
            }
        )
        return
    output.show_table(title, views.headers(found.share), [views.row(one) for one in rows])
    output.out.print(f"\n{views.headline(found)}", soft_wrap=True)


class Bench:
    """Measures sides, and keeps their cells by the hash of all that went into them: what was cut
    off goes on where it was."""

    def __init__(self, settings: "Settings", to: Reporter, *, silent: bool) -> None:
        self._settings = settings
        self._to = to
        self._silent = silent

    def __call__(self, side: "Side") -> "Sequence[Cell]":
        from orchestrator.analysis import build_results, cells, fields
        from orchestrator.host import durable
        from orchestrator.run import power as measuring

        with measuring.prepared(side, self._settings) as ready:
            file = self._settings.runs_dir / f"{ready.key}.json"
            if not file.exists():
                if not self._silent:
                    output.err.print(str(side), soft_wrap=True)
                watch = Watch(self._to)
                ready.measure(watch)
                assert watch.run is not None
                points = build_results(watch.run.path).points
                found = cells.cells_of(side.part.name, points, side.part.metrics)
                durable.write_text(file, cells.render({"side": str(side)}, found))
        return [cells.from_json(child) for child in fields.load(file).children("cells")]


def register(app: typer.Typer) -> None:
    app.command(epilog=example("power power"))(power)
