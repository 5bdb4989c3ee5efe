# SPDX-License-Identifier: Apache-2.0
"""The executor of named libvirt hosts: guests on each of them, in slots leased there."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.host import probe
from orchestrator.run.execute import GuestBench
from orchestrator.run.executor import MakeBenches, Site, shared_cores
from orchestrator.run.plan import Plan
from orchestrator.run.supplies import QEMU_OVERHEAD_BYTES
from orchestrator.run.testbed import Testbed, open_hypervisor
from orchestrator.spec.topology import Topology
from orchestrator.vm.hypervisor import Hypervisor
from orchestrator.vm.slots import SlotLease

logger = logging.getLogger(__name__)

# Between two looks whether another run has given a slot back.
WAIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsExecutor:
    """connections: a libvirt URI for each host. slots: of all hosts together."""

    connections: tuple[str, ...]
    slots: int

    def describe(self) -> str:
        hosts = "1 host" if len(self.connections) == 1 else f"{len(self.connections)} hosts"
        slots = "1 slot" if self.slots == 1 else f"{self.slots} slots"
        return f"libvirt on {hosts} ({', '.join(self.connections)}), up to {slots}, leased there"

    def check_plan(self, plan: Plan) -> list[str]:
        if plan.clock == "virtual":
            raise UsageError(
                f"--connect {self.connections[0]}: "
                "on the virtual clock the guest runs on this host",
                hint="leave --connect out, or --set clock=wall",
            )
        twice = [uri for uri in self.connections if self.connections.count(uri) > 1]
        if twice:
            raise UsageError(f"--connect {twice[0]} is given twice", hint="--jobs says how many")
        return shared_cores(plan, -(-self.slots // len(self.connections)))

    def check_host(self, plan: Plan, facts: probe.Facts) -> list[str]:
        """This host only watches; each of the others is asked when a slot is leased there."""
        return []

    @contextmanager
    def open(self, site: Site) -> Iterator[MakeBenches]:
        with ExitStack() as stack:
            # Slots are given back when no guest can be in them any more.
            leases = stack.enter_context(ExitStack())
            hosts = [stack.enter_context(open_hypervisor(uri)) for uri in self.connections]

            def benches(
                topology: Topology, count: int, traces: Mapping[str, str]
            ) -> list[GuestBench]:
                found: list[GuestBench] = []
                for slot, (host, lease) in enumerate(_lease(hosts, topology, count, site), 1):
                    leases.callback(lease.close)
                    found.append(
                        LeasedTestbed(
                            host,
                            topology,
                            site.supplies,
                            site.machines,
                            slot=slot,
                            traces=traces,
                            came_up=site.came_up,
                            lease=lease,
                        )
                    )
                return found

            yield benches


class LeasedTestbed(Testbed):
    """A testbed that gives its slot back when it closes."""

    def __init__(self, *arguments: Any, lease: SlotLease, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lease = lease

    def close(self) -> None:
        super().close()
        self._lease.close()


def _lease(
    hosts: Sequence[Hypervisor], topology: Topology, count: int, site: Site
) -> list[tuple[Hypervisor, SlotLease]]:
    """Up to `count` slots, host by host in turn; waits while there is none at all."""
    found: list[tuple[Hypervisor, SlotLease]] = []
    told = False
    while not found:
        free = list(hosts)
        while free and len(found) < count:
            host = free.pop(0)
            lease = _lease_on(host, topology, site, len(found) + 1)
            if lease is not None:
                found.append((host, lease))
                free.append(host)
        if not found:
            if not told:
                logger.warning("all slots are leased by other runs; waiting for one")
            told = True
            time.sleep(WAIT_S)
    for number, (host, _) in enumerate(found, 1):
        logger.info("slot %d is on %s", number, host.options.connect)
    return found


def _lease_on(host: Hypervisor, topology: Topology, site: Site, slot: int) -> SlotLease | None:
    demand = topology.demand
    memory = demand.memory_bytes + demand.machines * QEMU_OVERHEAD_BYTES
    log = site.machines / f"slot-{slot}.log"
    return host.lease_slot(demand.cpus, memory, log)
