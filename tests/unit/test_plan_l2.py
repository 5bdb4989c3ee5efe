# SPDX-License-Identifier: Apache-2.0
"""What a load of bare frames needs of an experiment."""

import re

import pytest

from orchestrator import paths
from orchestrator.errors import SpecError
from orchestrator.run import cases, compose
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.steps.model import Run, Start

VFIO = "/usr/lib/ringbed/vfio"


def plan(*overrides: str, of: str = "l2") -> Plan:
    return make_plan(load_experiment(find_experiment(of), overrides), Drivers(), inputs={})


def test_the_floor_is_measured_for_each_nic_and_length_of_a_burst() -> None:
    made = plan()
    at = {
        (made.topology(trial.topology).service_port("server").nic, trial.options["batch"])
        for trial in made.trials
    }
    assert at == {(nic, b) for nic in ("igb", "igb-vf", "virtio") for b in (1, 4, 16, 32, 64)}
    assert len(made.trials) == len(at)
    assert all(trial.workload.connections >= trial.options["batch"] for trial in made.trials)


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_both_sides_have_their_nics(clock: str) -> None:
    made = plan(f"clock={clock}")
    for trial in made.trials:
        topology = made.topology(trial.topology)
        assert set(compose.taken(trial)) == {"client", "server"}
        script = compose.script(trial, topology)
        steps = [s for s in (*script.setup, *script.measure) if isinstance(s, Run | Start)]
        takes = {
            step.machine for step in steps if step.argv[0] == VFIO and "--back" not in step.argv
        }
        assert takes == {"client", "server"}
        (client,) = [
            step for step in steps if step.machine == "client" and "rb-frames" in str(step)
        ]
        assert f"rb-frames {topology.service_port('server').mac} " in str(client)


def test_testpmd_is_a_server_of_frames_too() -> None:
    other = ("variants.l2.stack=testpmd", "matrix={options.burst: [1, 64]}", "claims=[]")
    made = plan(*other)
    assert {trial.stack for trial in made.trials} == {"testpmd"}
    for trial in made.trials:
        script = compose.script(trial, made.topology(trial.topology))
        assert any("rb-frames" in str(step) for step in script.measure)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("variants.l2.stack=linux",), "protocol that udp-echo here speaks"),
        (("variants.l2={stack: ix, app: echo}",), "protocol that echo here speaks"),
        (("workload.mode=open", "matrix.load=[1000]"), "has no schedule"),
        (("workload.think_time=1us",), "has no think time"),
        (("workload.users=2",), "has no users"),
        (("workload.threads=2", "machines.client.cpus=2"), "has no 2 threads"),
        (("workload.connections=16385",), "has no 16385 datagrams under way"),
        (("workload.message=3B",), "has no message of 3 bytes"),
        (("workload.addresses=2",), "has no 2 addresses"),
        (("links.0.loss=1%",), "netem"),
    ],
)
def test_what_cannot_be_is_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(*overrides)
    assert said in f"{caught.value} {caught.value.details}"


def test_limits_are_those_of_the_program() -> None:
    header = paths.project("dataplane/frames/frames.h").read_text(encoding="utf-8")
    found = dict(re.findall(r"(FRAMES_\w+) = (\d+)", header))
    assert int(found["FRAMES_FLOWS_MAX"]) == cases.FRAMES_MAX
    assert int(found["FRAMES_NUMBER_BYTES"]) == cases.FRAMES_MESSAGE_MIN_BYTES
