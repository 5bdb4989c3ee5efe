# SPDX-License-Identifier: Apache-2.0
"""What a stack that takes the server's NIC from Linux needs of an experiment, and datagrams do."""

import pytest

from orchestrator.errors import SpecError
from orchestrator.run.compose import Drivers, polling_machine
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import find_experiment, load_experiment


def plan(*overrides: str) -> Plan:
    return make_plan(load_experiment(find_experiment("bypass"), overrides), Drivers(), inputs={})


def test_bypass_is_planned_with_both_stacks() -> None:
    made = plan()
    assert {trial.stack for trial in made.trials} == {"testpmd", "linux"}
    assert {trial.protocol for trial in made.trials} == {"udp-echo"}
    polling = {trial.stack: polling_machine(trial, made.topologies[0]) for trial in made.trials}
    assert polling == {"testpmd": "server", "linux": ""}


def test_the_timeout_of_datagrams_is_a_part_of_the_workload() -> None:
    first, second = (plan(f"workload.reply_timeout={time}") for time in ("1ms", "2ms"))
    assert {trial.hash for trial in first.trials}.isdisjoint(trial.hash for trial in second.trials)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("clock=wall", "keeps the server's NIC"),
        ("links.0.delay=10us", "whose netem makes delay"),
        ("workload.depth=2", "one request under way"),
        ("workload.message=1473B", "does not fit into a datagram"),
    ],
)
def test_what_cannot_be_is_refused(override: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(override)
    assert said in str(caught.value)
