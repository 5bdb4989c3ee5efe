# SPDX-License-Identifier: Apache-2.0
"""`ringbed top`: what the cores of a running dataplane do."""

import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator import process
from orchestrator.cli import output
from orchestrator.cli.options import Json, example
from orchestrator.errors import CommandError, InfrastructureError

if TYPE_CHECKING:
    from orchestrator.analysis.dataplane import Counters, Rates

ANSWER_S = 10.0
HINT = "it is what dpos was told as --control, and is there as long as dpos runs"
COLUMNS = [
    *("core", "CPU", "busy>", "packets in/s>", "batch>", "packets out/s>"),
    *("to other cores/s>", "dropped/s>", "connections>", "sent again/s>"),
]
# In a guest there is nothing of ringbed's own, but there is Python.
_READ = """\
import socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
sys.stdout.write(control.makefile().read())
"""


def top(
    control: Annotated[
        Path, typer.Argument(metavar="SOCKET", help="The control socket: dpos --control SOCKET.")
    ],
    machine: Annotated[
        str,
        typer.Option("--machine", metavar="NAME", help="A machine of `vm up` in which dpos runs."),
    ] = "",
    interval: Annotated[
        float,
        typer.Option("--interval", min=0.1, metavar="SECONDS", help="Time between two looks."),
    ] = 1.0,
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, help="Tables to show; 0: until interrupted.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show what each core of a running dataplane does: packets, batches, cycles by stage,
    connections, retransmissions."""
    from orchestrator.analysis import dataplane

    columns = [*COLUMNS, *(f"cycles per packet: {stage}>" for stage in dataplane.STAGES)]
    before = _look(control, machine)
    for number, _ in enumerate(_ticks(interval, count)):
        after = _look(control, machine)
        found = dataplane.rates(before, after)
        before = after
        if as_json:
            output.show_json([asdict(one) for one in found])
            continue
        link = "" if after.link else ", link down"
        missed = f", {after.missed} packets missed by the device" if after.missed else ""
        if number:
            output.out.print()
        output.show_table(f"{after.stack}{link}{missed}", columns, [_row(one) for one in found])


def _ticks(interval: float, count: int) -> Iterator[None]:
    number = 0
    while count == 0 or number < count:
        time.sleep(interval)
        yield
        number += 1


def _look(control: Path, machine: str) -> "Counters":
    """The counters now. Raises InfrastructureError."""
    from orchestrator.analysis import dataplane

    text = _from_machine(control, machine) if machine else _from_socket(control)
    return dataplane.read_counters(text, str(control))


def _from_socket(control: Path) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(control))
            with connection.makefile() as lines:
                return lines.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InfrastructureError(
            f"no dataplane answers at {control}: {reason}", hint=HINT
        ) from error


def _from_machine(control: Path, machine: str) -> str:
    from orchestrator.cli.vm import find

    argv = find(machine, "ssh").ssh_argv("python3", "-c", _READ, str(control))
    try:
        return process.run(argv, timeout=ANSWER_S).stdout
    except CommandError as error:
        raise InfrastructureError(
            f"no dataplane answers at {control} in {machine}", details=error.details, hint=HINT
        ) from error


def _row(one: "Rates") -> list[str]:
    from orchestrator.analysis.dataplane import STAGES

    stages = one.cycles_per_packet
    return [
        *(str(one.number), str(one.cpu), f"{one.busy:.0%}", f"{one.packets_in:,.0f}"),
        *(f"{one.batch:.1f}", f"{one.packets_out:,.0f}", f"{one.handed_over:,.0f}"),
        *(f"{one.dropped:,.0f}", f"{one.connections:,}", f"{one.retransmitted:,.0f}"),
        *(f"{stages[stage]:,.0f}" if stages else "–" for stage in STAGES),
    ]


def register(app: typer.Typer) -> None:
    app.command(epilog=example("top /run/dpos.sock"))(top)
