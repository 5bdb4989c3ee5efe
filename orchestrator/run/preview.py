# SPDX-License-Identifier: Apache-2.0
"""What a run would do, down to the command lines of QEMU. Starts nothing."""

import shlex
from dataclasses import dataclass

from orchestrator.run import session
from orchestrator.run.plan import Plan
from orchestrator.run.session import Selection, Settings
from orchestrator.run.testbed import open_hypervisor, vm_topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """commands: QEMU's command line by machine, "machine (topology)" when there are several."""

    plan: Plan
    commands: dict[str, str]
    accelerator: str


def make(name: str, selection: Selection, settings: Settings) -> Preview:
    """Plan a run and render its machines."""
    _, found, plan = session.prepare(name, selection, settings)
    commands: dict[str, str] = {}
    with open_hypervisor(settings.connect) as hypervisor:
        scratch = hypervisor.state_directory / "machines"
        for topology in plan.topologies:
            group = hypervisor.define(vm_topology(topology, found), scratch)
            for machine in group:
                several = len(plan.topologies) > 1
                key = f"{machine.name} ({topology.id})" if several else machine.name
                commands[key] = shlex.join(machine.argv())
            hypervisor.release(group)
    kind, reason = found.accelerator.kind, found.accelerator.reason
    return Preview(plan=plan, commands=commands, accelerator=f"{kind}: {reason}")
