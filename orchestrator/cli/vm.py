# SPDX-License-Identifier: Apache-2.0
"""`ringbed vm`: guests to look around in, outside any run."""

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator import process
from orchestrator.cli import output
from orchestrator.cli.clean import caches_in_use
from orchestrator.cli.options import (
    EMBED,
    Archive,
    Connect,
    Experiment,
    Json,
    Locked,
    Quiet,
    Set,
    Verbose,
    example,
)
from orchestrator.cli.progress import reporter
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.vm.lease import LeasedMachine

app = typer.Typer(no_args_is_help=True, help="Guests to look around in, outside any run.")

Machine = Annotated[
    str, typer.Argument(metavar="MACHINE", help="Its name, or TOKEN/NAME when several are up.")
]


@app.command(epilog=example("vm up quickstart"))
def up(
    experiment: Experiment = "quickstart",
    changes: Set = [],  # noqa: B006  typer reads the default, nothing changes it
    connect: Connect = EMBED,
    locked: Locked = False,
    archive: Archive = "",
    _verbose: Verbose = 0,
    _quiet: Quiet = False,
) -> None:
    """Start the machines of an experiment and leave them running."""
    from orchestrator.run import standing
    from orchestrator.vm import lease as leases

    with caches_in_use(), reporter(output.err, silent=output.is_quiet()):
        lease = standing.up(experiment, changes, connect=connect, locked=locked, archive=archive)
    output.out.print(f"{', '.join(m.name for m in lease.machines)} are up ({lease.token})")
    # With others up, a name alone may not tell which.
    owner = f"{lease.token}/" if len(leases.list_leases()) > 1 else ""
    for machine in lease.machines:
        output.out.print(f"  ./ringbed vm ssh {owner}{machine.name}")
    output.out.print(f"  ./ringbed vm down {lease.token}")


@app.command("list", epilog=example("vm list"))
def list_(as_json: Json = False) -> None:
    """List the machines that `vm up` started."""
    from orchestrator.vm import lease as leases

    found = leases.list_leases()
    if as_json:
        output.show_json(
            [
                {
                    "token": lease.token,
                    "purpose": lease.purpose,
                    "created": lease.created,
                    "machines": [
                        {
                            "name": machine.name,
                            "alive": machine.alive(),
                            "ssh_port": machine.ssh_port,
                            "pid": machine.pid,
                        }
                        for machine in lease.machines
                    ],
                }
                for lease in found
            ]
        )
        return
    if not found:
        output.err.print("no machines are up; start some with: ./ringbed vm up quickstart")
        return
    rows: list[list[str | Text]] = [
        [
            lease.token,
            machine.name,
            output.styled("running" if machine.alive() else "crashed"),
            str(machine.ssh_port),
            output.seconds(time.time() - lease.created),
            lease.purpose,
        ]
        for lease in found
        for machine in lease.machines
    ]
    columns = ["token", "machine", "state", "ssh port>", "age>", "experiment"]
    output.show_table("", columns, rows, labels=2)


def find(wanted: str, verb: str) -> "LeasedMachine":
    """NAME when only one set of machines has it, TOKEN/NAME otherwise."""
    from orchestrator.vm import lease as leases

    token, _, name = wanted.rpartition("/")
    if not token:
        owners = [
            lease for lease in leases.list_leases() if name in [m.name for m in lease.machines]
        ]
        if len(owners) == 1:
            return owners[0].machine(name)
        if owners:
            raise UsageError(
                f"several machines called {name} are up",
                details="\n".join(
                    f"  {lease.token}/{name}  {lease.purpose}, up for "
                    f"{output.seconds(time.time() - lease.created)}"
                    for lease in owners
                ),
                hint=f"say which: ./ringbed vm {verb} {owners[-1].token}/{name}",
            )
    return leases.find_lease(token).machine(name)


@app.command(
    epilog=example("vm ssh server -- ethtool -l link0"),
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def ssh(context: typer.Context, machine: Machine) -> None:
    """Open a shell in a machine, or run a command there."""
    process.replace(find(machine, "ssh").ssh_argv(*context.args))


@app.command(epilog=example("vm console server"))
def console(machine: Machine) -> None:
    """Attach to the serial console of a machine (leave with Ctrl-])."""
    from orchestrator.host.locks import try_lock
    from orchestrator.vm import console as consoles

    found = find(machine, "console")
    # QEMU talks to one at a time; a second one would wait without a word.
    held = try_lock(found.console_socket.with_name(f"{found.console_socket.name}.lock"))
    if held is None:
        raise UsageError(
            f"somebody is at the console of {found.name} already",
            hint=f"read along with: tail -f {found.console_log}",
        )
    try:
        output.err.print(f"at the console of {found.name}; Ctrl-] leaves it", soft_wrap=True)
        consoles.attach(found.console_socket)
    finally:
        os.close(held)
    output.err.print(f"\r\nleft the console of {found.name}")


@app.command(epilog=example("vm down --all"))
def down(
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="As printed by vm list; its start is enough.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="All machines that are up.")] = False,
) -> None:
    """End machines that `vm up` started."""
    from orchestrator.vm import lease as leases

    found = leases.list_leases()
    if not token and not everything and len(found) > 1:
        raise UsageError(
            f"{len(found)} sets of machines are up",
            hint="./ringbed vm list shows them: name one, or use --all",
        )
    chosen = [leases.find_lease(token)] if token else found
    for lease in chosen:
        leases.end_lease(lease)
        output.out.print(f"ended {', '.join(m.name for m in lease.machines)} ({lease.token})")
    if not chosen:
        output.err.print("no machines are up")
