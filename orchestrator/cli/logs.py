# SPDX-License-Identifier: Apache-2.0
"""`ringbed logs`: what a run said."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, RunsDir, example
from orchestrator.cli.status import machine_names
from orchestrator.errors import UsageError
from orchestrator.run import directory
from orchestrator.run.directory import RunDirectory

POLL_S = 0.3
PLAYBOOK = "playbook"


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


def _log_of(run: RunDirectory, wanted: str) -> Path:
    """The console log of a machine, or the log of the playbook that tuned all of them."""
    playbook = run.machines / f"{PLAYBOOK}.log"
    if wanted in (PLAYBOOK, playbook.name):
        return playbook
    names = [*machine_names(run), *([PLAYBOOK] if playbook.exists() else [])]
    if wanted not in names:
        hint = f"it has: {', '.join(names)}" if names else "its guests have not come up yet"
        raise UsageError(f"{run.name} has no machine {wanted!r}", hint=hint)
    return run.machines / wanted / "console.log"


def logs(
    wanted: Annotated[str, typer.Argument(metavar="RUN", help="The run.")] = "latest",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            "-m",
            metavar="NAME",
            help="The console of this guest instead; or playbook, of the tuning of all guests.",
        ),
    ] = "",
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Print what a run logged, or the console of one of its guests."""
    run = directory.find(runs_dir, wanted)
    if machine:
        path = _log_of(run, machine)
        for line in _lines(path, run, follow):
            print(line.rstrip("\r"), flush=follow)
    else:
        for line in _lines(run.log, run, follow):
            print(_human(line), flush=follow)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("logs -f latest"))(logs)
