# SPDX-License-Identifier: Apache-2.0
"""`ringbed plan`: what a run would do."""

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from orchestrator.cli import output
from orchestrator.cli.options import (
    EMBED,
    RUNS_DIR,
    Archive,
    Connect,
    Experiment,
    Json,
    Locked,
    Only,
    Repeat,
    RunsDir,
    Seed,
    Set,
    example,
)
from orchestrator.cli.progress import reporter

if TYPE_CHECKING:
    from orchestrator.run.preview import Preview


def plan(
    experiment: Experiment,
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    only: Only = [],  # noqa: B006
    repeat: Repeat = None,
    seed: Seed = None,
    locked: Locked = False,
    archive: Archive = "",
    connect: Connect = EMBED,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Print machines, trials, QEMU command lines and the estimated time; start nothing."""
    from orchestrator.run import preview, session

    selection = session.Selection(
        overrides=tuple(changes), only=tuple(only), repeat=repeat, seed=seed
    )
    settings = session.Settings(runs_dir=runs_dir, locked=locked, archive=archive, connect=connect)
    with reporter(output.err, silent=as_json or output.is_quiet()):
        shown = preview.make(experiment, selection, settings)
    if as_json:
        output.show_json(
            {**shown.plan.to_json(), "qemu": shown.commands, "accelerator": shown.accelerator}
        )
        return
    _print(shown)


def _print(shown: "Preview") -> None:
    made = shown.plan
    output.out.print(Text(made.title, style="bold"))
    output.out.print(f"{made.clock} clock, accelerator {shown.accelerator}\n")
    for topology in made.topologies:
        machines: list[list[str | Text]] = [
            [
                node.name,
                str(node.role or ""),
                str(node.cpus),
                output.size(node.memory_bytes),
                ", ".join(
                    f"{port.ifname} {port.nic} x{port.queues} {port.cidr()}" for port in node.ports
                ),
            ]
            for node in topology.nodes
        ]
        columns = ["machine", "role", "vCPUs>", "memory>", "interfaces"]
        output.out.print(output.table("machines", columns, machines))
        output.out.print()
    rows: dict[tuple[str, str, str], dict[str, int]] = {}
    for trial in made.trials:
        key = (trial.variant, trial.kind, f"{trial.stack} {trial.app}")
        load = "" if trial.offered_rps is None else f"{trial.offered_rps:g}"
        loads = rows.setdefault(key, {})
        loads[load] = loads.get(load, 0) + 1
    trials: list[list[str | Text]] = [
        [variant, what, kind, ", ".join(_by_load(loads)), str(sum(loads.values()))]
        for (variant, kind, what), loads in rows.items()
    ]
    columns = ["variant", "runs", "kind", "requests/s", "trials>"]
    output.out.print(output.table("trials", columns, trials))
    output.out.print()
    for name, command in shown.commands.items():
        output.out.print(Text(f"QEMU of {name}", style="bold"))
        print(command + "\n")
    if made.estimate_ns is not None:
        estimate = output.seconds(made.estimate_ns / 1e9)
        output.out.print(f"{len(made.trials)} trials, about {estimate}")


def _by_load(loads: dict[str, int]) -> list[str]:
    ordered = sorted(loads, key=lambda load: float(load or 0))
    return [load for load in ordered if load]


def register(app: typer.Typer) -> None:
    app.command(epilog=example("plan quickstart"))(plan)
