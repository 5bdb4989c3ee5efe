# SPDX-License-Identifier: Apache-2.0
"""`ringbed plan`: what a run would do."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import (
    EMBED,
    RUNS_DIR,
    ExecutorKind,
    Experiment,
    Hosts,
    Jobs,
    Json,
    Locked,
    Only,
    Quiet,
    Repeat,
    RunsDir,
    Seed,
    Set,
    SlurmConfig,
    Verbose,
    example,
)
from orchestrator.cli.progress import reporter
from orchestrator.words import count_of

if TYPE_CHECKING:
    from orchestrator.run.plan import Plan, Trial
    from orchestrator.run.preview import Preview

FIRST_TRIALS = 8
DOCTOR = "not proven yet (./ringbed doctor proves it)"


def plan(
    experiment: Experiment,
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    only: Only = [],  # noqa: B006
    repeat: Repeat = None,
    seed: Seed = None,
    locked: Locked = False,
    jobs: Jobs = None,
    executor: ExecutorKind = "local",
    connect: Hosts = [],  # noqa: B006
    slurm_config: SlurmConfig = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Print machines, trials, estimated time and QEMU command lines; start nothing."""
    from orchestrator.run import places, preview, session

    selection = session.Selection(
        overrides=tuple(changes), only=tuple(only), repeat=repeat, seed=seed
    )
    where = places.where(executor, slots=jobs, connect=connect, slurm=slurm_config)
    settings = session.Settings(runs_dir=runs_dir, locked=locked, where=where)
    with reporter(output.err, silent=as_json or output.is_quiet()):
        shown = preview.make(experiment, selection, settings)
    for warning in shown.warnings:
        output.warn(warning)
    if as_json:
        known = shown.accelerator
        data = {
            "qemu": {name: shlex.join(words) for name, words in shown.commands.items()},
            "accelerator": None if known is None else {"kind": known.kind, "reason": known.reason},
            "missing": shown.missing,
            "executor": {"kind": executor, "slots": shown.slots, "description": shown.executor},
            "estimate_ns": round(shown.seconds * 1e9),
        }
        output.show_json({**shown.plan.to_json(), **data, "warnings": shown.warnings})
        return
    _print_conditions(shown)
    _print_machines(shown.plan)
    _print_trials(shown.plan)
    _print_commands(shown, where.connect)


def _print_conditions(shown: "Preview") -> None:
    made, known = shown.plan, shown.accelerator
    output.out.print(Text(made.title, style="bold"))
    lines = [
        ("clock", made.clock),
        ("executor", shown.executor),
        ("accelerator", DOCTOR if known is None else f"{known.kind}: {known.reason}"),
        ("guests need", f"{_cpus(made)}, {output.size(made.demand.memory_bytes)} of memory"),
    ]
    if shown.missing:
        lines.append(("built first", ", ".join(shown.missing)))
    took = output.seconds(shown.seconds)
    lines.append(("takes", f"about {took}{' once all is built' if shown.missing else ''}"))
    output.show_facts(lines)


def _cpus(made: "Plan") -> str:
    if made.clock == "virtual":
        return "1 core (all vCPUs take turns on it)"
    return count_of(made.demand.cpus, "vCPU")


def _print_machines(made: "Plan") -> None:
    for topology in made.topologies:
        machines: list[list[str | Text]] = []
        for node in topology.nodes:
            first = [
                node.name,
                str(node.role or ""),
                str(node.cpus),
                output.size(node.memory_bytes),
            ]
            ports = [
                f"{port.ifname} {port.nic} x{port.queues} {port.cidr()}" for port in node.ports
            ]
            # An interface a line.
            for number, port in enumerate(ports or [""]):
                machines.append([*(first if not number else [""] * len(first)), port])
        columns = ["machine", "role", "vCPUs>", "memory>", "interface, model x queues, address"]
        several = len(made.topologies) > 1
        output.out.print()
        output.show_table(
            f"machines of topology {topology.id}" if several else "machines", columns, machines
        )


def _print_trials(made: "Plan") -> None:
    kinds = [trial.kind for trial in made.trials]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    keys = _varying(made.trials)
    shown = made.trials if output.is_verbose() else made.trials[:FIRST_TRIALS]
    rows: list[list[str | Text]] = [
        [
            str(trial.index + 1),
            trial.variant,
            *(_value(trial, key) for key in keys),
            str(trial.repetition),
            trial.kind,
        ]
        for trial in shown
    ]
    columns = ["#>", "variant", *(f"{_short(key)}>" for key in keys), "repetition>", "kind"]
    output.out.print()
    title = f"{count_of(len(made.trials), 'trial')} in this order: {counts}"
    output.show_table(title, columns, rows, labels=2)
    if left := len(made.trials) - len(shown):
        output.out.print(f" … and {left} more (-v shows them)")
    output.out.print()
    values = {key: _values(made.trials, key) for key in ("variant", *keys)}
    output.show_facts([(_short(key), ", ".join(found)) for key, found in values.items()])


def _varying(trials: "Sequence[Trial]") -> list[str]:
    """The keys of the matrix, besides the variant, that differ between trials."""
    keys = dict.fromkeys(key for trial in trials for key in trial.point if key != "variant")
    return [key for key in keys if len(_values(trials, key)) > 1]


def _values(trials: "Sequence[Trial]", key: str) -> list[str]:
    """The values of a key, numbers by their size."""
    from orchestrator.spec.units import natural_key

    found = [value for value in dict.fromkeys(_value(trial, key) for trial in trials) if value]
    return sorted(found) if key == "variant" else sorted(found, key=natural_key)


def _value(trial: "Trial", key: str) -> str:
    if key == "variant":
        return trial.variant
    value = trial.offered_rps if key == "load" else trial.point.get(key)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(key: str) -> str:
    return "requests/s" if key == "load" else key.rpartition(".")[2]


def _print_commands(shown: "Preview", connections: "Sequence[str]") -> None:
    output.out.print(Text("\nQEMU command lines", style="bold"))
    notes = ["TOKEN is the name that each run gives itself"]
    if shown.accelerator is None:
        notes.append("-accel is tcg until KVM is proven")
    others = [uri for uri in connections if uri != EMBED]
    if others:
        notes.append(f"as --connect {EMBED} makes them; {', '.join(others)} may have another QEMU")
    output.out.print(f"({'; '.join(notes)})", soft_wrap=True)
    for name, words in shown.commands.items():
        output.out.print(Text(f"\n# {name}", style="bold"))
        print("\n".join(_wrapped(words, output.out.width)))


def _wrapped(words: "Sequence[str]", room: int) -> "Iterator[str]":
    """A command line over several lines, each option with its value; a shell reads it as one."""
    # Before the program stands the environment, which only names directories of libvirt's own.
    program = next(place for place, word in enumerate(words) if "=" not in word)
    parts: list[str] = []
    for word in words[program:]:
        quoted = shlex.quote(word)
        if len(parts) < 2 or word.startswith("-"):
            parts.append(quoted)
        else:
            parts[-1] += f" {quoted}"
    line = ""
    for part in parts:
        if line and len(line) + len(part) + 3 > room:
            yield f"{line} \\"
            line = ""
        line = f"{line} {part}" if line else (part if part == parts[0] else f"  {part}")
    yield line


def register(app: typer.Typer) -> None:
    app.command(epilog=example("plan quickstart"))(plan)
