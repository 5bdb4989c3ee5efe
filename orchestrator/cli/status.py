# SPDX-License-Identifier: Apache-2.0
"""`ringbed status` and `ringbed logs`: how runs stand, and what they said."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, Json, RunsDir, example
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.run import directory, journal, stored
from orchestrator.run.directory import RunDirectory

POLL_S = 0.3


def summary(run: RunDirectory) -> dict[str, Any]:
    """How a run stands, as plain data. damaged: what cannot be read of it, a sentence each."""
    damaged: list[str] = []
    progress = journal.Progress()
    trials: int | None = None
    state = run.state()
    try:
        progress = journal.progress(run.journal)
    except InfrastructureError as error:
        damaged.append(error.message)
    # A run that has just begun writes its plan now.
    if state != "running" or run.plan.exists():
        try:
            trials = len(stored.read_plan(run)["trials"])
        except UsageError as error:
            damaged.append(error.message)
    outcomes = list(progress.outcomes.values())
    return {
        "run": run.name,
        "path": str(run.path),
        "state": state,
        "trials": trials,
        "done": outcomes.count("ok"),
        "failed": outcomes.count("failed"),
        "under_way": sorted(progress.under_way),
        "failures": {
            trial: progress.reasons[trial]
            for trial, outcome in progress.outcomes.items()
            if outcome == "failed"
        },
        "damaged": damaged,
        "report": str(run.report) if run.report.exists() else "",
    }


def status(
    wanted: Annotated[
        str, typer.Argument(metavar="RUN", help="One run in detail; without it, all.")
    ] = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Show the runs and how far they are."""
    if wanted:
        found = [summary(directory.find(runs_dir, wanted))]
    else:
        found = [summary(run) for run in directory.list_runs(runs_dir)]
    if as_json:
        output.show_json(found[0] if wanted else found)
        return
    if not found:
        output.err.print(f"no runs in {runs_dir}; start one with: ./ringbed run quickstart")
        return
    rows: list[list[str | Text]] = [
        [
            entry["run"],
            output.styled(entry["state"]),
            f"{entry['done']}/{'?' if entry['trials'] is None else entry['trials']}",
            str(entry["failed"] or ""),
            entry["report"],
        ]
        for entry in found
    ]
    output.out.print(output.table("", ["run", "state", "done>", "failed>", "report"], rows))
    for entry in found:
        for sentence in entry["damaged"]:
            output.err.print(sentence, soft_wrap=True, markup=False)
    if wanted:
        for trial, reason in found[0]["failures"].items():
            output.out.print(f"  {trial}: {reason}")


def _lines(path: Path, run: RunDirectory, follow: bool) -> Iterator[str]:
    """Whole lines of a growing file; ends with the file, or when following, with the run."""
    while not path.exists():
        if not follow or not run.is_running():
            raise UsageError(f"{path} does not exist", hint="the run has written no such log")
        time.sleep(POLL_S)
    with path.open(encoding="utf-8", errors="replace") as file:
        rest = ""
        while True:
            running = follow and run.is_running()
            rest += file.read()
            *whole, rest = rest.split("\n")
            yield from whole
            if not running:
                if rest:
                    yield rest
                return
            time.sleep(POLL_S)


def _human(line: str) -> str:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return line
    stamp = time.strftime("%H:%M:%S", time.gmtime(entry["time"]))
    if "step" in entry:
        mark = {"begin": "…", "end": "✓", "fail": "✗"}[entry["edge"]]
        took = f"  {output.seconds(entry['seconds'])}" if "seconds" in entry else ""
        return f"{stamp} {mark} {entry['step']}{took}"
    return f"{stamp} {entry['level'][0].upper()} {entry['module']}: {entry['message']}"


def logs(
    wanted: Annotated[str, typer.Argument(metavar="RUN", help="The run.")] = "latest",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
    machine: Annotated[
        str,
        typer.Option("--machine", "-m", metavar="NAME", help="The console of this guest instead."),
    ] = "",
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Print what a run logged, or the console of one of its guests."""
    run = directory.find(runs_dir, wanted)
    if machine:
        path = run.machines / machine / "console.log"
        if run.machines.is_dir() and not (run.machines / machine).is_dir():
            names = ", ".join(sorted(entry.name for entry in run.machines.iterdir()))
            raise UsageError(f"{run.name} has no machine {machine!r}", hint=f"it has: {names}")
        for line in _lines(path, run, follow):
            print(line.rstrip("\r"), flush=follow)
    else:
        for line in _lines(run.log, run, follow):
            print(_human(line), flush=follow)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("status"))(status)
    app.command(epilog=example("logs -f latest"))(logs)
