# SPDX-License-Identifier: Apache-2.0
"""Guests that stay when the command ends (`ringbed vm up`)."""

from collections.abc import Sequence

from orchestrator import paths
from orchestrator.run import session
from orchestrator.run.session import Selection, Settings
from orchestrator.run.testbed import Testbed, open_hypervisor
from orchestrator.vm.lease import Lease


def up(name: str, overrides: Sequence[str], *, connect: str, locked: bool, archive: str) -> Lease:
    """Start the machines of an experiment's first topology as a run would, and leave them to a
    lease: they stay until `vm down`."""
    session.sweep()
    settings = Settings(runs_dir=paths.state(), locked=locked, archive=archive, connect=connect)
    _, found, plan = session.prepare(name, Selection(overrides=tuple(overrides)), settings)
    with open_hypervisor(connect) as hypervisor:
        # Their logs go with them.
        directory = hypervisor.state_directory / "machines"
        testbed = Testbed(hypervisor, plan.topologies[0], found, directory)
        testbed.up()
        return hypervisor.lease(name)
