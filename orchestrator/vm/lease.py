# SPDX-License-Identifier: Apache-2.0
"""Machines that outlive the process that started them (`vm up`).

A lease is a file in the state directory of a run. It tells other processes how to reach the
guests, and the sweeper of stale state that they are meant to live on without an owner.
"""

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fabric import Connection

from orchestrator import paths
from orchestrator.errors import UsageError
from orchestrator.host import durable
from orchestrator.host.private import check_private
from orchestrator.vm import keys, ssh
from orchestrator.vm.connection import EMBED
from orchestrator.vm.machine import Machine
from orchestrator.vm.state import LEASE, RunState
from orchestrator.vm.sweep import end_run, process_belongs

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedMachine:
    """How to reach one guest of a lease. pid: of its QEMU; 0 when a daemon keeps it to itself."""

    name: str
    ssh_port: int
    pid: int
    console_log: Path
    console_socket: Path

    def ssh_argv(self, *command: str) -> list[str]:
        return keys.ssh_command(keys.guest_keys(), self.ssh_port, *command)

    def ssh(self) -> Connection:
        """A connection as root, not yet opened."""
        return ssh.connection(keys.guest_keys(), self.ssh_port)

    def alive(self) -> bool:
        """Whether its QEMU still runs; without a pid, whether its ssh port is open."""
        if not self.pid:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ssh_port)) == 0
        return process_belongs(self.pid, self.console_socket.parent.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """purpose: what the machines are for, in the words of whoever took the lease. created: in
    seconds since 1970."""

    token: str
    purpose: str
    created: float
    connect: str
    machines: tuple[LeasedMachine, ...]

    @classmethod
    def of(cls, state: RunState, purpose: str, machines: Sequence[Machine]) -> "Lease":
        return cls(
            token=state.token,
            purpose=purpose,
            created=state.path.stat().st_ctime,
            connect=state.connect,
            machines=tuple(
                LeasedMachine(
                    name=machine.name,
                    ssh_port=machine.ssh_port,
                    pid=machine.pid if state.connect == EMBED else 0,
                    console_log=machine.console_log,
                    console_socket=machine.console_socket,
                )
                for machine in machines
            ),
        )

    def machine(self, name: str) -> LeasedMachine:
        for machine in self.machines:
            if machine.name == name:
                return machine
        names = ", ".join(machine.name for machine in self.machines)
        raise UsageError(f"{self.token} has no machine {name}", hint=f"it has {names}")

    def write(self, path: Path) -> None:
        """Appears complete or not at all."""
        durable.write_json(path, {"version": VERSION, **asdict(self)})


def list_leases(state: Path | None = None) -> list[Lease]:
    """All leases of this user, oldest first."""
    root = state or paths.state()
    check_private(root)
    found = [_read(file) for file in root.glob(f"*/{LEASE}")]
    return sorted(found, key=lambda lease: (lease.created, lease.token))


def find_lease(prefix: str = "", state: Path | None = None) -> Lease:
    """The one lease whose token begins with `prefix`. Raises UsageError when there is not one."""
    found = [lease for lease in list_leases(state) if lease.token.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"no machines {prefix}" if prefix else "no machines are up",
            hint="./ringbed vm up starts some, ./ringbed vm list shows them",
        )
    tokens = ", ".join(lease.token for lease in found)
    raise UsageError(f"several sets of machines are up: {tokens}", hint="name one of them")


def end_lease(lease: Lease, state: Path | None = None) -> None:
    """End the guests of a lease and remove all that belonged to them."""
    end_run((state or paths.state()) / lease.token)


def _read(file: Path) -> Lease:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data.pop("version") == VERSION:
            machines = tuple(_machine(entry) for entry in data.pop("machines"))
            return Lease(**data, machines=machines)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{file} is damaged: {error}",
            hint="remove it; the next start of ringbed then ends its machines",
        ) from error
    raise UsageError(
        f"{file} was written by another version of ringbed",
        hint=f"end its machines with that version, or remove {file.parent}",
    )


def _machine(entry: dict[str, Any]) -> LeasedMachine:
    places = {key: Path(entry[key]) for key in ("console_log", "console_socket")}
    return LeasedMachine(**{**entry, **places})
