# SPDX-License-Identifier: Apache-2.0
"""Configures running guests over ssh and reads back what they really have."""

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import ProvisionError
from orchestrator.provision.playbook import TaskResult, play

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How ssh reaches a guest: the port of `host`, its key, and the alias in known_hosts."""

    port: int
    key: Path
    known_hosts: Path
    host_alias: str
    host: str = "127.0.0.1"
    user: str = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface that the kernel's own stack uses. None leaves a setting as it is.

    queues: RX/TX queue pairs. rx_usecs: interrupt moderation. ring: descriptors of each queue.
    features: offloads by their ethtool names, such as {"gro": True}.
    """

    name: str
    queues: int | None = None
    rx_usecs: int | None = None
    ring: int | None = None
    features: Mapping[str, bool] = field(default_factory=dict)

    def word(self) -> str:
        settings = {"queues": self.queues, "rx_usecs": self.rx_usecs, "ring": self.ring}
        parts = [f"{key}={value}" for key, value in settings.items() if value is not None]
        parts += [f"{name}={'on' if on else 'off'}" for name, on in sorted(self.features.items())]
        return ",".join([self.name, *parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFunction:
    """One virtual function of `port`. Without a name no kernel driver takes it."""

    port: str
    mac: str
    name: str = ""
    address: str = ""

    def word(self) -> str:
        return ",".join([self.port, self.mac, self.name or "-", self.address or "-"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a guest is to have.

    hugepages: count by page size in kB. sysctls: in dotted form. spread_irqs: queue i of each NIC
    interrupts CPU i modulo CPUs. vfio: interfaces or PCI addresses for user-space drivers.
    """

    hugepages: Mapping[int, int] = field(default_factory=dict)
    virtual_functions: Sequence[VirtualFunction] = ()
    interfaces: Sequence[Interface] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    spread_irqs: bool = False
    vfio: Sequence[str] = ()

    def variables(self) -> dict[str, Any]:
        """The variables of the roles; `mechanisms` names only the roles that have work to do."""
        arguments = [f"{key}={value}" for key, value in sorted(self.sysctls.items())]
        if self.spread_irqs:
            arguments.append("irqs=spread")
        # In the order in which they depend on each other: a virtual function must exist before it
        # is set up, interrupts before they are placed.
        words = {
            "hugepages": ("hugepages_pages", [f"{k}={n}" for k, n in self.hugepages.items()]),
            "sriov": ("sriov_ports", [function.word() for function in self.virtual_functions]),
            "linux_stack": ("linux_stack_interfaces", [i.word() for i in self.interfaces]),
            "tuning": ("tuning_arguments", arguments),
            "vfio": ("vfio_devices", list(self.vfio)),
        }
        used = {role: pair for role, pair in words.items() if pair[1]}
        return {"mechanisms": list(used), **dict(used.values())}


type ReadBack = dict[str, Any]


def configure_machines(
    machines: Mapping[str, tuple[Login, Settings]],
    *,
    deadline_s: float,
    log: Path,
    scratch: Path | None = None,
) -> dict[str, ReadBack]:
    """Give each named guest its settings, all at the same time, and return what each has then.

    scratch: where a temporary directory is made; a directory with a short name. The result maps
    machine to mechanism (role) to what its program printed; a mechanism that was not asked for is
    absent. Raises ProvisionError or DeadlineError.
    """
    asked = {
        name: {**_ssh_variables(login), **settings.variables()}
        for name, (login, settings) in machines.items()
        if settings.variables()["mechanisms"]
    }
    found: dict[str, ReadBack] = {name: {} for name in machines}
    if asked:
        results = play(
            "runtime.yml",
            asked,
            group="machines",
            variables={},
            deadline_s=deadline_s,
            log=log,
            scratch=scratch,
        )
        for result in results:
            if result.role:
                found[result.host][result.role] = _read_back(result)
        _expect_all(asked, found, log)
    return found


def _ssh_variables(login: Login) -> dict[str, Any]:
    options = {
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        # A list of files, with blanks between.
        "UserKnownHostsFile": f'"{login.known_hosts}"',
        "HostKeyAlias": login.host_alias,
        "LogLevel": "ERROR",
        # One connection for all tasks. It is ended with the playbook; the time counts only when
        # ringbed is killed.
        "ControlMaster": "auto",
        "ControlPersist": "30s",
    }
    return {
        "ansible_connection": "ssh",
        "ansible_host": login.host,
        "ansible_port": login.port,
        "ansible_user": login.user,
        "ansible_ssh_private_key_file": str(login.key),
        "ansible_ssh_args": "-F none " + shlex.join(_ssh_options(options)),
        "ansible_ssh_use_tty": False,
    }


def _ssh_options(options: Mapping[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _read_back(result: TaskResult) -> Any:
    text = str(result.result.get("stdout", ""))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProvisionError(
            f"{result.host}: {result.role} printed no JSON: {error}",
            details=text,
            hint="the image and the playbooks do not belong together: ./ringbed image build",
        ) from error
    if result.role == "linux_stack":
        return {name: _simplify(parts) for name, parts in found.items()}
    return found


def _simplify(parts: dict[str, Any]) -> dict[str, Any]:
    """Undo ethtool's wrapping: a list of one object that repeats the name of the interface."""
    plain = dict(parts)
    for key in ("coalesce", "rings", "features"):
        for only in parts[key] or ():
            plain[key] = {name: value for name, value in only.items() if name != "ifname"}
    plain["features"] = {name: state["active"] for name, state in (plain["features"] or {}).items()}
    return plain


def _expect_all(
    asked: Mapping[str, Mapping[str, Any]], found: Mapping[str, ReadBack], log: Path
) -> None:
    for name, variables in asked.items():
        missing = [role for role in variables["mechanisms"] if role not in found[name]]
        if missing:
            raise ProvisionError(
                f"{name}: the playbook read nothing back for {', '.join(missing)}",
                hint=f"read {log}",
            )
