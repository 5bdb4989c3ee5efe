# SPDX-License-Identifier: Apache-2.0
"""`ringbed baseline`: the accepted state that nightly results are compared with."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.options import (
    RUNS_DIR,
    Baselines,
    Json,
    RunsDir,
    Suite,
    baselines_dir,
    example,
)
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.analysis.baseline import Baseline, Measurement

app = typer.Typer(
    help="Accept and show the state that nightly results are compared with.",
    no_args_is_help=True,
)


@app.command(epilog=example("baseline accept latest"))
def accept(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...",
            help="Nightly results (path, name, end of name, latest); with --suite, runs.",
        ),
    ] = ["latest"],  # noqa: B006  typer reads the default, nothing changes it
    suite: Annotated[
        str,
        typer.Option("--suite", metavar="SUITE", help="The suite of which the runs are."),
    ] = "",
    baselines: Baselines = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Make results the baseline of their suite. Several results of one state tell its noise too."""
    from orchestrator.analysis import baseline

    name, measurements = (
        _from_runs(runs_dir, wanted, suite) if suite else _from_results(runs_dir, wanted)
    )
    accepted = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    made = baseline.accept(name, measurements, accepted)
    path = baseline.write(baselines_dir(baselines), made)
    if as_json:
        output.show_json({"suite": name, "path": str(path), "cells": len(made.cells)})
        return
    commits = ", ".join(commit[:10] for commit in made.commits) or "no commit"
    output.out.print(f"{name}: {len(made.cells)} cells of {commits} are the baseline now")
    output.out.print(f"baseline  {path}", soft_wrap=True)


def _from_results(runs_dir: Path, wanted: Sequence[str]) -> "tuple[str, list[Measurement]]":
    """What nightly results measured."""
    from orchestrator.analysis import nightly
    from orchestrator.analysis.baseline import Measurement
    from orchestrator.run import suites

    found = [nightly.read(suites.find(runs_dir, one)) for one in dict.fromkeys(wanted)]
    names = list(dict.fromkeys(one.about.suite for one in found))
    if len(names) > 1:
        raise UsageError(f"these are results of different suites: {', '.join(names)}")
    for one in found:
        for part in one.parts:
            if part.failure:
                raise UsageError(
                    f"{one.about.name} is not complete: {part.name}: {part.failure}",
                    hint="measure it again, or accept its runs: baseline accept RUN --suite SUITE",
                )
        _warn_of_changes(one.about.name, one.about.dirty)
    return names[0], [
        Measurement(
            source=one.about.name, commit=one.about.commit, host=one.about.host, cells=one.cells
        )
        for one in found
    ]


def _from_runs(
    runs_dir: Path, wanted: Sequence[str], suite: str
) -> "tuple[str, list[Measurement]]":
    """What runs of the suite's experiments measured; each belongs to the entry it fits."""
    from orchestrator import analysis
    from orchestrator.analysis.baseline import Measurement
    from orchestrator.analysis.cells import cells_of
    from orchestrator.analysis.nightly import host_of
    from orchestrator.run import directory
    from orchestrator.spec import find_suite, load_suite

    model, parts = load_suite(find_suite(suite))
    measurements = []
    for one in dict.fromkeys(wanted):
        run = directory.find(runs_dir, one)
        results = analysis.build_results(run.path)
        asked = results.manifest.get("name"), results.manifest.get("clock")
        fitting = [p for p in parts if (p.experiment.name, p.experiment.clock) == asked]
        if len(fitting) != 1:
            entries = "\n".join(
                f"  {p.name}: {p.experiment.name}, {p.experiment.clock} clock" for p in parts
            )
            how = "more than one entry" if fitting else "no entry"
            raise UsageError(
                f"{how} of {model.name} fits {run.name} ({asked[0]}, {asked[1]} clock)",
                details=f"entries:\n{entries}",
            )
        source = results.manifest.get("ringbed", {})
        _warn_of_changes(run.name, bool(source.get("dirty")))
        measurements.append(
            Measurement(
                source=run.name,
                commit=str(source.get("commit", "")),
                host=host_of(results.manifest),
                cells=tuple(cells_of(fitting[0].name, results.points, fitting[0].metrics)),
            )
        )
    return model.name, measurements


def _warn_of_changes(name: str, dirty: bool) -> None:
    if dirty:
        output.warn(f"{name} was measured with changes that are in no commit")


@app.command("list", epilog=example("baseline list"))
def list_baselines(baselines: Baselines = None, as_json: Json = False) -> None:
    """List the suites that have a baseline."""
    from orchestrator.analysis import baseline

    folder = baselines_dir(baselines)
    found = [_read(folder, suite) for suite in baseline.list_all(folder)]
    if as_json:
        output.show_json(
            [
                {
                    "suite": one.suite,
                    "accepted": one.accepted,
                    "commits": list(one.commits),
                    "cells": len(one.cells),
                }
                for one in found
            ]
        )
        return
    rows = [
        [one.suite, one.accepted, ", ".join(c[:10] for c in one.commits), str(len(one.cells))]
        for one in found
    ]
    output.show_table("", ["suite", "accepted", "commits", "cells>"], rows)


@app.command(epilog=example("baseline show nightly"))
def show(wanted: Suite, baselines: Baselines = None, as_json: Json = False) -> None:
    """Show the cells of a baseline."""
    from orchestrator.analysis import baseline
    from orchestrator.analysis.cells import to_json
    from orchestrator.report import formats

    found = _read(baselines_dir(baselines), wanted)
    if as_json:
        output.show_json([to_json(cell) for cell in found.cells])
        return
    facts = [("accepted", found.accepted), ("commits", ", ".join(found.commits) or "none")]
    facts += [("measured by", ", ".join(found.sources))]
    facts += [("host", found.host)] if found.host else []
    output.show_facts([*facts])
    output.out.print()
    rows = [
        [
            cell.key.name,
            cell.key.workload,
            cell.key.clock,
            str(len(cell.valid)),
            formats.quantity(baseline.level(cell), cell.unit),
            " ".join(f"{change:+.1%}" for change in cell.noise),
        ]
        for cell in found.cells
    ]
    headers = ["cell", "workload", "clock", "samples>", "median>", "noise"]
    output.show_table("", headers, rows)


def _read(folder: Path, suite: str) -> "Baseline":
    from orchestrator.analysis import baseline

    found = baseline.read(folder, suite)
    if found is None:
        known = ", ".join(baseline.list_all(folder))
        raise UsageError(
            f"{suite} has no baseline",
            hint=f"there are: {known}" if known else "./ringbed baseline accept makes one",
        )
    return found
