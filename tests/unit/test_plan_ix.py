# SPDX-License-Identifier: Apache-2.0
"""What the dataplane needs of an experiment, under the server and under the load generator."""

import pytest

from orchestrator.errors import SpecError
from orchestrator.run import compose
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.steps.model import Run, Start, Step

ON_IX = "workload.stack=ix"
MANY = "matrix.workload.connections=[32]"
TWO = ("machines.server.cpus=2", "variants.linux.options.threads=2")
VF = "links.0.ends.1.nic=igb-vf"
CLIENT_VF = "links.0.ends.0.nic=igb-vf"
IOMMU = "machines.server.viommu=true"
VFIO = "/usr/lib/ringbed/vfio"


def plan(*overrides: str) -> Plan:
    return make_plan(load_experiment(find_experiment("ix-echo"), overrides), Drivers(), inputs={})


def takes_nic(steps: tuple[Step, ...], machine: str) -> bool:
    return any(
        isinstance(step, Run)
        and step.machine == machine
        and step.argv[0] == VFIO
        and "--back" not in step.argv
        for step in steps
    )


@pytest.mark.parametrize("clock", ["virtual", "wall"])
@pytest.mark.parametrize("client", ["linux", "ix"])
def test_each_side_that_is_on_the_dataplane_has_its_nic(client: str, clock: str) -> None:
    made = plan(f"workload.stack={client}", f"clock={clock}")
    assert {trial.stack for trial in made.trials} == {"ix", "linux"}
    for trial in made.trials:
        script = compose.script(trial, made.topology(trial.topology))
        assert takes_nic(script.setup, "server") == (trial.stack == "ix")
        assert takes_nic(script.measure, "client") == (client == "ix")


@pytest.mark.parametrize("clock", ["virtual", "wall"])
@pytest.mark.parametrize("nic", ["igb", "igb-vf", "virtio"])
@pytest.mark.parametrize("iommu", [True, False])
def test_every_nic_is_driven_by_what_can_drive_it(nic: str, clock: str, iommu: bool) -> None:
    if nic == "igb-vf" and not iommu:
        return
    made = plan(f"links.0.ends.1.nic={nic}", f"clock={clock}", f"machines.server.viommu={iommu}")
    trial = next(trial for trial in made.trials if trial.stack == "ix")
    script = compose.script(trial, made.topology(trial.topology))
    (take,) = [s for s in script.setup if isinstance(s, Run) and s.argv[0] == VFIO]
    (start,) = [step for step in script.setup if isinstance(step, Start)]
    assert ("--uio" in take.argv) == (not iommu)
    assert f"--iova={'virtual' if iommu else 'physical'}" in start.argv


def test_the_nic_is_given_back_where_the_guest_outlives_the_trial() -> None:
    for clock in ("virtual", "wall"):
        made = plan(f"clock={clock}", ON_IX)
        for trial in made.trials:
            script = compose.script(trial, made.topology(trial.topology))
            returned = [
                step.machine
                for step in (*script.measure, *script.teardown)
                if isinstance(step, Run) and step.argv[:2] == (VFIO, "--back")
            ]
            took = ["client", "server"] if trial.stack == "ix" else ["client"]
            assert returned == (took if clock == "wall" else [])
            takes = (*script.setup, *script.measure)
            lent = [s.machine for s in takes if isinstance(s, Run) and "--lend" in s.argv]
            assert sorted(lent) == returned


def test_the_second_queue_of_a_function_is_not_for_linux() -> None:
    two = ("machines.server.cpus=2", "links.0.ends.1.queues=2")
    (warning,) = plan(VF, IOMMU, *two).warnings
    assert warning == "linux: Linux's driver uses 1 of the 2 queues of an igb-vf"
    assert not plan("links.0.ends.1.nic=igb", *two).warnings
    (topology,) = plan(VF, IOMMU, "machines.server.cpus=2").topologies
    assert topology.service_port("server").queues == 1


def test_a_function_on_the_virtual_clock_needs_one_iommu_for_all() -> None:
    made = plan(CLIENT_VF, ON_IX, IOMMU)
    trial = next(trial for trial in made.trials if trial.stack == "ix")
    script = compose.script(trial, made.topology(trial.topology))
    takes = [s for s in (*script.setup, *script.measure) if isinstance(s, Run)]
    assert not any("--uio" in step.argv for step in takes)


def test_what_the_generator_runs_on_is_a_part_of_the_workload() -> None:
    first, second = plan(), plan(ON_IX)
    assert {trial.hash for trial in first.trials}.isdisjoint(trial.hash for trial in second.trials)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((ON_IX, "workload.threads=2", MANY), "2 threads on a client with 1 vCPUs"),
        ((VF,), "the virtual function of server: without an IOMMU only uio"),
        ((VF, "clock=wall"), "machines.server.viommu: true"),
        ((CLIENT_VF, ON_IX, IOMMU, "clock=wall"), "machines.client.viommu: true"),
        (("links.0.ends.1.nic=virtio", "links.0.ends.1.queues=2"), "virtio has 1 queue on the"),
        ((ON_IX, "workload.addresses=3"), "3 addresses"),
        ((ON_IX, "workload.poll=true"), "it always does"),
        ((ON_IX, "links.0.loss=1%"), "netem"),
        (("variants.ix.options.threads=2",), "2 threads that poll need a vCPU each"),
        (("variants.ix.options.threads=9",), "above the largest value, 8"),
        (
            (*TWO, "links.0.ends.1.queues=1", "variants.ix.options.threads=2"),
            "need a queue each, and the server's link has 1",
        ),
        (("variants.ix.options.batch=65",), "above the largest value, 64"),
    ],
)
def test_what_cannot_be_is_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(*overrides)
    assert said in f"{caught.value} {caught.value.details}"


def words(steps: tuple[Step, ...], machine: str) -> set[str]:
    """Of the dpos that is started on a machine."""
    return next(
        set(step.argv)
        for step in steps
        if isinstance(step, Run | Start) and step.machine == machine and "--stack=ix" in step.argv
    )


def test_a_core_is_a_cpu_and_a_thread() -> None:
    made = plan(*TWO, "variants.ix.options.threads=2", "machines.client.cpus=2")
    assert not made.warnings
    trial = next(trial for trial in made.trials if trial.stack == "ix")
    script = compose.script(trial, made.topology(trial.topology))
    wanted = {"--cpus=3,4", "--threads=2", "--huge-memory=128m", "--app-memory=64m"}
    assert wanted <= words(script.setup, "server")


def test_the_generator_may_have_several_cores() -> None:
    made = plan(ON_IX, "machines.client.cpus=2", "workload.threads=2", MANY)
    trial = made.trials[0]
    script = compose.script(trial, made.topology(trial.topology))
    wanted = {"--cpus=1,2", "--threads=2", "--huge-memory=128m", "--app-memory=64m"}
    assert wanted <= words(script.measure, "client")
