# SPDX-License-Identifier: Apache-2.0
"""Guests that stay when the command ends (`ringbed vm up`)."""

import logging
from collections.abc import Sequence

from orchestrator import paths
from orchestrator.run import session, supplies
from orchestrator.run.session import Selection, Settings
from orchestrator.run.testbed import Testbed, open_hypervisor
from orchestrator.vm.lease import Lease

logger = logging.getLogger(__name__)


def up(name: str, overrides: Sequence[str], *, connect: str, locked: bool, archive: str) -> Lease:
    """Start the machines of an experiment's first topology as a run would, and leave them to a
    lease: they stay until `vm down`."""
    session.sweep()
    settings = Settings(runs_dir=paths.state(), locked=locked, archive=archive)
    # Guests to work with by hand are what the wall clock has: one for each machine.
    selection = Selection(overrides=("clock=wall", *overrides))
    prepared = session.prepare(name, selection, settings)
    found, plan = prepared.supplies, prepared.plan
    topology = plan.topologies[0]
    for warning in supplies.check_guests(found.host, topology.demand, slots=1):
        logger.warning("%s", warning)
    # Snapshots of the guests go there.
    hint = "./ringbed clean --caches makes room; or use RINGBED_CACHE"
    supplies.check_disk(paths.cache(), who="a set of guests", hint=hint)
    with open_hypervisor(connect) as hypervisor:
        # Their logs go with them.
        directory = hypervisor.state_directory / "machines"
        testbed = Testbed(hypervisor, topology, found, directory)
        testbed.up()
        return hypervisor.lease(name)
