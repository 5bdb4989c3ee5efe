# SPDX-License-Identifier: Apache-2.0
"""Machines and cables of an experiment, with everything derived that its file leaves out.

Link i is the subnet 198.18.i.0/24, from the range that RFC 2544 sets apart for benchmarks, so that
it cannot meet an address of the host or of the management network. End 0 is .1, end 1 is .2;
further addresses of an end count up from .10 (end 0) and .130 (end 1).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from orchestrator.spec.model import Experiment, Nic, Role

MAX_LINKS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A network interface of a machine on a link. `mac` is that of the interface with traffic.
    rx_usecs: interrupt moderation; None leaves it to Linux's driver."""

    machine: str
    link: int
    end: int
    nic: Nic
    queues: int
    mac: str
    ifname: str
    rx_usecs: int | None = None

    def address(self, number: int = 0) -> str:
        """IPv4 address: 0 is the one the guest boots with, 1…119 are further ones."""
        if not 0 <= number < 120:
            raise ValueError(f"a port has no address {number}")
        host = self.end + 1 if number == 0 else 9 + 120 * self.end + number
        return f"198.18.{self.link}.{host}"

    def cidr(self, number: int = 0) -> str:
        return f"{self.address(number)}/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A point-to-point link; delay, loss and rate hold for each direction. rate 0: no limit."""

    index: int
    ports: tuple[Port, Port]
    delay_ns: int
    loss: float
    rate_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine with its ports in the order of the links."""

    name: str
    role: Role | None
    cpus: int
    memory_bytes: int
    viommu: bool
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the guests of a topology take from the host, without QEMU's own overhead."""

    machines: int
    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Machines that are up at the same time.

    kernel_args: further words for the kernels of all. fast_strings: as the experiment has it; on
    the wall clock the processor is the host's, and it is false.
    """

    nodes: tuple[Node, ...]
    cables: tuple[Cable, ...]
    kernel_args: str = ""
    fast_strings: bool = False

    @property
    def id(self) -> str:
        """The same for equal topologies, 12 hexadecimal digits."""
        return _digest(self)

    @property
    def demand(self) -> Demand:
        return Demand(
            machines=len(self.nodes),
            cpus=sum(node.cpus for node in self.nodes),
            memory_bytes=sum(node.memory_bytes for node in self.nodes),
        )

    def node(self, role: Role) -> Node:
        """The machine with a role."""
        return next(node for node in self.nodes if node.role == role)

    def service_cable(self) -> Cable:
        """The first link between client and server: the one that load takes."""
        wanted = {self.node("client").name, self.node("server").name}
        return next(
            cable for cable in self.cables if {port.machine for port in cable.ports} == wanted
        )

    def service_port(self, role: Role) -> Port:
        """The port of client or server on that link."""
        name = self.node(role).name
        return next(port for port in self.service_cable().ports if port.machine == name)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@lru_cache(maxsize=256)
def _digest(topology: Topology) -> str:
    text = json.dumps(topology.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_topology(experiment: Experiment) -> Topology:
    """The topology of an experiment whose file has been checked."""
    cables: list[Cable] = []
    ports: Mapping[str, list[Port]] = {name: [] for name in experiment.machines}
    for index, link in enumerate(experiment.links):
        pair = []
        for number, end in enumerate(link.ends):
            port = Port(
                machine=end.machine,
                link=index,
                end=number,
                nic=end.nic,
                queues=experiment.queues(end),
                # 02: locally administered, unicast; 72:62 is "rb".
                mac=f"02:72:62:00:{index:02x}:{number + 1:02x}",
                ifname=f"link{index}",
                rx_usecs=end.rx_usecs,
            )
            ports[end.machine].append(port)
            pair.append(port)
        cables.append(
            Cable(
                index=index,
                ports=(pair[0], pair[1]),
                delay_ns=link.delay_ns,
                loss=link.loss,
                rate_bps=link.rate_bps or 0,
            )
        )
    nodes = tuple(
        Node(
            name=name,
            role=experiment.role(name),
            cpus=machine.cpus,
            memory_bytes=machine.memory_bytes,
            viommu=machine.viommu,
            ports=tuple(ports[name]),
        )
        for name, machine in experiment.machines.items()
    )
    guest = experiment.guest
    return Topology(
        nodes=nodes,
        cables=tuple(cables),
        kernel_args=guest.kernel_args,
        fast_strings=guest.fast_strings and experiment.clock == "virtual",
    )
