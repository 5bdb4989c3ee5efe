# SPDX-License-Identifier: Apache-2.0
"""The executor of this host: guests in libvirt's driver inside this process, or sealed guests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.host import probe
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.run import supplies
from orchestrator.run.execute import GuestBench
from orchestrator.run.executor import MakeBenches, Site, shared_cores
from orchestrator.run.plan import Plan
from orchestrator.run.sealedbed import SealedTestbed
from orchestrator.run.testbed import Testbed, open_hypervisor
from orchestrator.spec.model import Clock
from orchestrator.spec.topology import Topology
from orchestrator.vm.connection import EMBED


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalExecutor:
    """clock: of the trials to come."""

    slots: int
    clock: Clock

    def describe(self) -> str:
        return f"local, {self.slots} slot{'' if self.slots == 1 else 's'}"

    def check_plan(self, plan: Plan) -> list[str]:
        return shared_cores(plan, self.slots)

    def check_host(self, plan: Plan, facts: probe.Facts) -> list[str]:
        if self.clock == "wall":
            return supplies.check_guests(facts, plan.demand, slots=self.slots)
        supplies.check_guests(facts, plan.demand, slots=self.slots)
        if self.slots <= facts.cpu.cores:
            return []
        return [
            f"{self.slots} trials at a time share {facts.cpu.cores} cores of the host: "
            "each takes longer, and has the same results"
        ]

    @contextmanager
    def open(self, site: Site) -> Iterator[MakeBenches]:
        if self.clock == "virtual":
            with OwnedDirectory(new_token()) as state:
                yield _sealed(site, state)
        else:
            with open_hypervisor(EMBED) as hypervisor:

                def benches(
                    topology: Topology, count: int, traces: Mapping[str, str]
                ) -> list[GuestBench]:
                    return [
                        Testbed(
                            hypervisor,
                            topology,
                            site.supplies,
                            site.machines,
                            slot=slot,
                            traces=traces,
                            came_up=site.came_up,
                        )
                        for slot in range(1, count + 1)
                    ]

                yield benches


def _sealed(site: Site, state: OwnedDirectory) -> MakeBenches:
    def benches(topology: Topology, count: int, traces: Mapping[str, str]) -> list[GuestBench]:
        return [
            SealedTestbed(
                topology,
                site.supplies,
                site.machines,
                state=state,
                slot=slot,
                traces=traces,
                came_up=site.came_up,
            )
            for slot in range(1, count + 1)
        ]

    return benches
