# SPDX-License-Identifier: Apache-2.0
"""`ringbed profile`: where the instructions of a trial went."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    RUNS_DIR,
    Archive,
    Json,
    Locked,
    Quiet,
    RunsDir,
    Verbose,
    example,
)
from orchestrator.cli.progress import reporter
from orchestrator.errors import UsageError
from orchestrator.run import directory, journal, stored
from orchestrator.run.directory import RunDirectory

if TYPE_CHECKING:
    from orchestrator.analysis.profile import Profile
    from orchestrator.run.session import Settings


def profile(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="RUN/TRIAL, TRIAL of any run, or a RUN that has only one trial."
        ),
    ],
    machine: Annotated[
        str,
        typer.Option("--machine", "-m", metavar="NAME", help="Whose functions; default: server's."),
    ] = "",
    domain: Annotated[
        Literal["user", "kernel", "ring0"] | None,
        typer.Option("--domain", "-d", metavar="NAME", help="Only user, kernel or ring0."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", "-n", metavar="N", min=1, help="How many functions to show.")
    ] = 25,
    locked: Locked = False,
    archive: Archive = "",
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Repeat a trial of the virtual clock and show where its instructions went, exactly."""
    from orchestrator.report import profile as views
    from orchestrator.run import session

    run, trial = _find(runs_dir, wanted)
    _check(run, trial, machine)
    session.sweep()
    settings = session.Settings(runs_dir=run.path.parent, locked=locked, archive=archive)
    silent = as_json or output.is_quiet()
    # Held until all is written: another profile of the trial would remove what this one writes.
    with caches_in_use(), reporter(output.err, silent=silent), run.locked():
        found, about, server = _measure(run, trial, settings)
        graphs = views.write_profile(run.profile(trial), found, about)
    chosen = machine or server
    if as_json:
        output.show_json(views.to_json(found, about))
        return
    _show(found, chosen, about, domain, top)
    output.out.print()
    files = {f"flame graph, {name}": str(path) for name, path in graphs.items()}
    files["table, stacks"] = f"{run.profile(trial)}/"
    width = max(map(len, files))
    for name, path in files.items():
        # A path that is broken over lines cannot be copied.
        output.out.print(Text.assemble((f"{name:{width}}  ", "dim"), path), soft_wrap=True)


def _measure(
    run: RunDirectory, trial: str, settings: "Settings"
) -> tuple["Profile", dict[str, Any], str]:
    """The profile, what its trial was, and the name of its server."""
    from orchestrator.analysis.profile import read_profile
    from orchestrator.analysis.raw import read_record
    from orchestrator.host.owned import OwnedDirectory, new_token
    from orchestrator.log import step
    from orchestrator.run.profile import profile as repeat

    with OwnedDirectory(new_token()) as place:
        done = repeat(run, trial, settings, place.path)
        record = read_record(run.trial(trial))
        assert record.instructions and record.load, "a trial that was checked and ended well"
        with step("functions and call stacks"):
            found = read_profile(
                done.counts,
                done.pages,
                done.kallsyms,
                done.objects,
                record.instructions,
                record.load.answered,
            )
    about = {"run": run.name, "trial": trial, "label": done.label, "seconds": done.seconds}
    return found, about, record.trial.machines["server"]


def _find(runs_dir: Path, wanted: str) -> tuple[RunDirectory, str]:
    """The trial that is meant. Raises UsageError, with the run's trials when it is a run."""
    # As a shell completes the name of a directory.
    wanted = wanted.rstrip("/")
    found = directory.find_trial(runs_dir, wanted)
    if found is not None:
        return found
    run_name, _, trial = wanted.rpartition("/")
    if not run_name or Path(wanted).is_dir():
        run_name, trial = wanted, ""
    run = directory.find(runs_dir, run_name)
    ended = journal.progress(run.journal).done
    if len(ended) == 1 and not trial:
        return run, next(iter(ended))
    # In the order of the plan, as the report has them.
    trials = stored.read_manifest(run)["trials"]
    labels = {one["id"]: _label(one) for one in trials if one["id"] in ended}
    done = list(labels)
    raise UsageError(
        f"{run.name} has no trial {trial}"
        if trial
        else f"{run.name} has {len(done)} trials: name one",
        details="\n".join(f"  {one}  {label}" for one, label in list(labels.items())[:40]),
        hint=f"./ringbed profile {run.called}/{done[0]}" if done else "none of its trials ended",
    )


def _label(trial: dict[str, Any]) -> str:
    axes = " ".join(f"{key}={value}" for key, value in trial["axes"].items() if key != "variant")
    return f"{trial['variant']} {axes} #{trial['repetition']} {trial['kind']}"


def _check(run: RunDirectory, trial: str, machine: str) -> None:
    """Before minutes are spent: whether there is anything to show. A trial without
    instructions.json has other faults to tell. Raises UsageError."""
    from orchestrator.analysis.raw import read_record
    from orchestrator.run.cases import OWN_GENERATOR

    record = read_record(run.trial(trial))
    if record.instructions is None:
        return
    trials = stored.read_manifest(run)["trials"]
    generator = next(one["generator"] for one in trials if one["id"] == trial)
    if not any(cpu.total for cpu in record.instructions.cpus):
        raise UsageError(
            f"the load generator {generator} marks no phases: trial {trial} counted nothing",
            hint=f"profile a trial that {OWN_GENERATOR} drives",
        )
    if record.load is None or not record.load.answered:
        raise UsageError(
            f"no request of trial {trial} was answered in the measured phase",
            hint=f"what the load generator {generator} says is in {run.trial(trial)}",
        )
    names = sorted({cpu.machine for cpu in record.instructions.cpus})
    if machine and machine not in names:
        raise UsageError(
            f"the trial has no machine {machine!r}", hint=f"it has: {', '.join(names)}"
        )


def _show(
    found: "Profile", machine: str, about: dict[str, Any], domain: str | None, top: int
) -> None:
    from orchestrator.report import formats
    from orchestrator.report import profile as views

    functions = found.by_machine()
    mine = functions[functions["machine"] == machine]
    whole = int(mine["self"].sum())
    title = Text.assemble((f"{machine}, {about['label']}", "bold"))
    output.out.print(title, soft_wrap=True)
    cpus = ", ".join(str(cpu) for cpu in found.machines[machine])
    facts: list[tuple[str, str | Text]] = [
        ("trial", f"{about['run']}/{about['trial']}, repeated: the same bytes"),
        ("measured phase", f"{whole:,} instructions on CPU{'s' * (',' in cpus)} {cpus}"),
    ]
    if idle := found.idled(machine):
        facts.append(("idle turns", f"{idle:,} instructions more, in no function below"))
    if requests := found.divisor(machine):
        each = formats.significant(whole / requests, 4)
        facts.append(("per request", f"{each} instructions ({requests:,} requests)"))
    elif machine in found.polling:
        facts.append(("per request", f"{machine} {views.POLLS}"))
    for name, sum_of in mine.groupby("domain")["self"].sum().sort_values(ascending=False).items():
        facts.append((str(name), formats.share(sum_of / (whole or 1))))
    facts.append(("unknown", formats.share(views.unknown_share(functions, machine))))
    output.show_facts(facts)
    output.out.print()
    chosen = mine[mine["domain"] == domain] if domain else mine
    rows: list[list[str | Text]] = [
        [
            Text(str(row["function"])),
            Text(str(row["object"])),
            str(row["domain"]),
            f"{row['self']:,}",
            formats.share(row["self"] / (whole or 1)),
            formats.significant(row["self_per_request"], 3),
            formats.significant(row["total_per_request"], 3),
        ]
        for row in chosen.head(top).to_dict(orient="records")
    ]
    headers = ["function", "in", "domain", "self>", "share>", "self per request>"]
    output.show_table("", [*headers, "with callees per request>"], rows)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("profile quickstart/9fc07f7a51301da8 --machine server"))(profile)
