# SPDX-License-Identifier: Apache-2.0
"""`ringbed status`: how runs stand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import RUNS_DIR, Json, RunsDir, example
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.run import directory, journal, stored
from orchestrator.run.directory import RunDirectory
from orchestrator.words import readable_times

# Of a trial that nothing is known of yet: what it takes beside its load.
OVERHEAD_S = 1.5
REASONS = 10


def summary(run: RunDirectory) -> dict[str, Any]:
    """How a run stands, as plain data. damaged: what cannot be read of it, a sentence each."""
    damaged: list[str] = []
    progress = journal.Progress()
    trials: list[dict[str, Any]] | None = None
    state = run.state()
    try:
        progress = journal.progress(run.journal)
    except InfrastructureError as error:
        damaged.append(error.message)
    # A run that has just begun writes its plan now.
    if state != "running" or run.plan.exists():
        try:
            trials = stored.read_plan(run)["trials"]
        except UsageError as error:
            damaged.append(error.message)
    outcomes = list(progress.outcomes.values())
    return {
        "run": run.name,
        "path": str(run.path),
        "state": state,
        "trials": None if trials is None else len(trials),
        "done": outcomes.count("ok") - len(progress.voids),
        "void": len(progress.voids),
        "failed": outcomes.count("failed"),
        "under_way": sorted(progress.under_way),
        "seconds_left": _seconds_left(trials or [], progress) if state == "running" else None,
        "voids": progress.voids,
        "failures": {
            trial: progress.reasons[trial]
            for trial, outcome in progress.outcomes.items()
            if outcome == "failed"
        },
        "damaged": damaged,
        "report": str(run.report) if run.report.exists() else "",
    }


def detail(run: RunDirectory) -> dict[str, Any]:
    """The summary, what is done of each variant, what is under way, and the last line that the
    server of each failed trial said."""
    entry = summary(run)
    if entry["trials"] is None:
        return entry
    trials = stored.read_plan(run)["trials"]
    known = journal.Progress() if entry["state"] == "damaged" else journal.progress(run.journal)
    counts: dict[str, Counter[str]] = {}
    for trial in trials:
        counted = counts.setdefault(trial.get("variant", ""), Counter())
        identity = trial.get("id", "")
        outcome = "void" if identity in known.voids else known.outcomes.get(identity, "left")
        counted[{"ok": "done", "void": "void", "failed": "failed"}.get(outcome, "left")] += 1
    labels = {trial.get("id", ""): _label(trial) for trial in trials}
    return {
        **entry,
        "variants": {
            variant: {key: counted[key] for key in ("done", "void", "failed", "left")}
            for variant, counted in counts.items()
        },
        "now": [labels.get(trial, trial) for trial in entry["under_way"]],
        **{
            what: {labels.get(trial, trial): reason for trial, reason in entry[what].items()}
            for what in ("voids", "failures")
        },
        "server_said": {
            labels.get(trial, trial): said[-1]
            for trial in entry["failures"]
            if (said := [line for line in run.server_said(trial) if line.strip()])
        },
    }


def _seconds_left(trials: Sequence[Mapping[str, Any]], progress: journal.Progress) -> float:
    """From the mean of what was measured; from the plan before anything was."""
    left = [trial for trial in trials if progress.outcomes.get(trial.get("id", "")) is None]
    took = [progress.seconds[trial] for trial in progress.outcomes]
    if took:
        return round(len(left) * sum(took) / len(took), 1)
    load: float = sum(trial.get("warmup_ns", 0) + trial.get("duration_ns", 0) for trial in left)
    return round(load / 1e9 + len(left) * OVERHEAD_S, 1)


def _label(trial: Mapping[str, Any]) -> str:
    """A trial in a few words, from the plan of its run."""
    load = trial.get("offered_rps")
    words = [trial.get("variant", "")]
    words += [f"at {load:g}/s"] if load is not None else []
    words += [
        f"{key.rpartition('.')[2]}={value}"
        for key, value in trial.get("point", {}).items()
        if key not in ("variant", "load")
    ]
    words.append(f"#{trial.get('repetition', '?')}")
    words += [f"({trial['kind']})"] if trial.get("kind", "measure") != "measure" else []
    return " ".join(words)


def status(
    wanted: Annotated[
        str, typer.Argument(metavar="RUN", help="One run in detail; without it, all.")
    ] = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Show the runs and how far they are, or one run in detail."""
    if wanted:
        run = directory.find(runs_dir, wanted)
        entry = detail(run)
        if as_json:
            output.show_json(entry)
        else:
            _print_detail(run, entry)
        _tell_damage([entry])
        return
    found = [summary(run) for run in directory.list_runs(runs_dir)]
    if as_json:
        output.show_json(found)
        return
    if not found:
        output.err.print(f"no runs in {runs_dir}; start one with: ./ringbed run quickstart")
        return
    rows: list[list[str | Text]] = [
        [
            entry["run"],
            output.styled(entry["state"]),
            _of(entry),
            str(entry["void"] or ""),
            str(entry["failed"] or ""),
            "" if entry["seconds_left"] is None else output.seconds(entry["seconds_left"]),
        ]
        for entry in found
    ]
    columns = ["run", "state", "done>", "void>", "failed>", "left>"]
    # A column without an entry says nothing.
    shown = [place for place in range(len(columns)) if place < 3 or any(row[place] for row in rows)]
    output.show_table("", [columns[p] for p in shown], [[row[p] for p in shown] for row in rows])
    _tell_damage(found)


def _of(entry: Mapping[str, Any]) -> str:
    return f"{entry['done']}/{'?' if entry['trials'] is None else entry['trials']}"


def _tell_damage(found: Sequence[Mapping[str, Any]]) -> None:
    for entry in found:
        for sentence in entry["damaged"]:
            output.err.print(sentence, soft_wrap=True, markup=False)


def _print_detail(run: RunDirectory, entry: Mapping[str, Any]) -> None:
    name = run.called
    trials = [f"{_of(entry)} done"]
    trials += [f"{entry[key]} {key}" for key in ("void", "failed") if entry.get(key)]
    facts: list[tuple[str, str | Text]] = [
        ("run", Text(run.name, style="bold")),
        ("state", output.styled(entry["state"])),
        ("trials", ", ".join(trials)),
    ]
    facts += [("now", label) for label in entry.get("now", ()) if entry["state"] == "running"]
    if entry["seconds_left"] is not None:
        facts.append(("left", f"about {output.seconds(entry['seconds_left'])}"))
    facts.append(("files", entry["path"]))
    if entry["report"]:
        facts.append(("report", entry["report"]))
    follow = "-f " if entry["state"] == "running" else ""
    facts.append(("log", f"./ringbed logs {follow}{name}"))
    if names := machine_names(run):
        facts.append(("consoles", f"./ringbed logs -m {'|'.join(names)} {name}"))
    if entry["state"] in ("interrupted", "failed", "crashed"):
        facts.append(("go on", f"./ringbed resume {name}"))
    for what, value in facts:
        # On one line whatever its length: paths and commands are there to be copied.
        output.out.print(Text.assemble((f"{what:<10}", "dim"), value), soft_wrap=True)
    variants = entry.get("variants", {})
    rows: list[list[str | Text]] = [
        [variant, *(str(counted[key] or "") for key in ("done", "void", "failed", "left"))]
        for variant, counted in variants.items()
    ]
    if rows:
        output.out.print()
        output.show_table("", ["variant", "done>", "void>", "failed>", "left>"], rows)
    _print_reasons("failed", "bold red", entry["failures"], entry.get("server_said", {}))
    _print_reasons("void", "bold yellow", entry["voids"])


def _print_reasons(
    title: str, style: str, reasons: Mapping[str, str], said: Mapping[str, str] | None = None
) -> None:
    """What went wrong with which trial, and the last that its server said; of many the first."""
    if reasons:
        output.out.print(Text(f"\n{title}", style=style))
    for label, reason in list(reasons.items())[:REASONS]:
        output.out.print(Text(f"  {label}: {readable_times(reason)}"), soft_wrap=True)
        if said and label in said:
            output.out.print(Text(f"    server.log: {said[label]}", style="dim"), soft_wrap=True)
    if (more := len(reasons) - REASONS) > 0:
        output.out.print(f"  … and {more} more")


def machine_names(run: RunDirectory) -> list[str]:
    """The machines whose consoles a run kept."""
    if not run.machines.is_dir():
        return []
    return sorted(place.name for place in run.machines.iterdir() if place.is_dir())


def register(app: typer.Typer) -> None:
    app.command(epilog=example("status latest"))(status)
