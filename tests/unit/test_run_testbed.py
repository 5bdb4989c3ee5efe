# SPDX-License-Identifier: Apache-2.0
"""What the guests of a topology are told before their first trial."""

import pytest

from orchestrator.run.testbed import tuning
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.spec.topology import make_topology


@pytest.mark.parametrize(("nic", "queues"), [("igb", 1), ("virtio", 1), ("igb-vf", None)])
def test_queues_are_set_where_a_driver_has_several(nic: str, queues: int | None) -> None:
    overrides = [f"links.0.ends.1.nic={nic}", "matrix={load: [500]}"]
    topology = make_topology(load_experiment(find_experiment("nics"), overrides))
    (interface,) = tuning(topology.node("server")).interfaces
    assert interface.queues == queues
