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
        ("links.0.ends.1.nic=igb-vf", "the virtual function of server"),
        ("links.0.delay=10us", "whose netem makes delay"),
        ("workload.depth=2", "one request under way"),
        ("workload.message=1473B", "does not fit into a datagram"),
        ("variants.testpmd.options.threads=2", "need a vCPU each, and the server has 1"),
        ("matrix.options.threads=[1, 8]", "8 threads that poll need a vCPU each"),
        ("include=[{variant: testpmd, load: 500, options.threads: 2}]", "the server has 1"),
    ],
)
def test_what_cannot_be_is_refused(override: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(override)
    assert said in str(caught.value)


def test_a_thread_too_many_is_told_once_and_where() -> None:
    with pytest.raises(SpecError) as caught:
        plan("matrix.options.threads=[1, 2]")
    assert caught.value.details.count("need a vCPU each") <= 1
    assert "matrix.options.threads" in str(caught.value)


TWO = ("machines.server.cpus=2", "links.0.ends.1.queues=2")


def test_threads_that_one_address_leaves_without_work_are_warned_of() -> None:
    (warning,) = plan(*TWO).warnings
    assert "testpmd: datagrams are spread over its 2 threads by addresses" in warning
    assert "the client has 1" in warning
    assert not plan(*TWO, "workload.addresses=2").warnings
    assert not plan(*TWO, "variants.testpmd.options.threads=1").warnings
    assert not plan().warnings


def test_as_many_threads_as_vcpus_are_planned() -> None:
    made = plan(*TWO, "workload.addresses=2", "variants.testpmd.options.threads=2")
    threads = {trial.options.get("threads") for trial in made.trials if trial.stack == "testpmd"}
    assert threads == {2}
