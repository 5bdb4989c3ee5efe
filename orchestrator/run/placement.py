# SPDX-License-Identifier: Apache-2.0
"""Where the roles of a trial are on each clock: CPUs and interfaces.

On the wall clock every machine is a guest of its own: its CPUs count from 0, its interfaces have
the names of their links. On the virtual clock one guest holds all machines. CPU 0 keeps house (it
boots, runs the session and what the kernel does for nobody in particular), the CPUs of the
machines follow in the order of the topology, and an interface says by a letter whose it is.
"""

from orchestrator.spec.model import LINUX_MAX_QUEUES, Clock
from orchestrator.spec.topology import Demand, Node, Port, Topology

HOUSE = "house"
# What the kernel and the session need beside the machines' own memory.
HOUSE_BYTES = 256 * 2**20


def demand(topology: Topology, clock: Clock) -> Demand:
    """What the host must have. The virtual clock has one thread for all CPUs of its guest."""
    if clock == "wall":
        return topology.demand
    memory = HOUSE_BYTES + topology.demand.memory_bytes
    return Demand(machines=1, cpus=1, memory_bytes=memory)


def cpus(topology: Topology, node: Node, clock: Clock) -> tuple[int, ...]:
    """The CPUs of a machine, as the kernel it runs on numbers them."""
    if clock == "wall":
        return tuple(range(node.cpus))
    first = 1
    for other in topology.nodes:
        if other.name == node.name:
            break
        first += other.cpus
    return tuple(range(first, first + node.cpus))


def has_iommu(topology: Topology, node: Node, clock: Clock) -> bool:
    """Whether the guest that a machine is in has an IOMMU: on the virtual clock that of all."""
    if clock == "wall":
        return node.viommu
    return any(other.viommu for other in topology.nodes)


def linux_queues(port: Port) -> int:
    """The queue pairs that Linux's driver uses of a NIC; one that bypasses Linux may use all."""
    return min(port.queues, LINUX_MAX_QUEUES[port.nic])


def device(topology: Topology, port: Port, clock: Clock) -> str:
    """The name of an interface in its machine; unique in a kernel."""
    if clock == "wall":
        return port.ifname
    names = [node.name for node in topology.nodes]
    return f"{port.ifname}{chr(ord('a') + names.index(port.machine))}"
