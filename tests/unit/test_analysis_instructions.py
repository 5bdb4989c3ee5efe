# SPDX-License-Identifier: Apache-2.0
"""Instructions of a sealed guest: from the plugin's counts to metrics."""

import json
from pathlib import Path

import pytest

from orchestrator.analysis.fields import RawError
from orchestrator.analysis.instructions import ATOMICS, instruction_metrics, read_instructions
from orchestrator.errors import StepError
from orchestrator.run import instructions
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import make_plan
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.spec.topology import Topology

MACHINES = {"client": "client", "server": "server"}


@pytest.fixture
def topology() -> Topology:
    """A client with one CPU and a server with two, as quickstart has them."""
    plan = make_plan(load_experiment(find_experiment("quickstart")), Drivers(), inputs={})
    return plan.topologies[0]


def counts(tmp_path: Path, measured: int = 100, idle: int = 0) -> Path:
    """Phase p, CPU c: 1000 p + c in the kernel, `measured` times the CPU as user in phase 2. idle:
    of these, in 2 of 7 turns of a loop that marks them; 0: there is none. Locked: 10 p + c in the
    kernel, 4 c as user, of which each idle turn has one; barriers: p in the kernel, c as user."""
    phases = [
        [
            {"user": measured * cpu if phase == 2 else 0, "kernel": 1000 * phase + cpu, "ring0": 0}
            for cpu in range(4)
        ]
        for phase in range(16)
    ]
    locked = [
        [{"user": 4 * cpu, "kernel": 10 * phase + cpu, "ring0": 0} for cpu in range(4)]
        for phase in range(16)
    ]
    barriers = [
        [{"user": cpu, "kernel": phase, "ring0": 0} for cpu in range(4)] for phase in range(16)
    ]
    path = tmp_path / "counts.json"
    turns = [
        [
            {
                "begun": 7 if idle else 0,
                "idle": 2 if idle and phase == 2 else 0,
                "idle_instructions": idle if phase == 2 else 0,
                "idle_locked": 2 if idle and phase == 2 else 0,
                "idle_barriers": 0,
            }
            for _ in range(4)
        ]
        for phase in range(16)
    ]
    told = {"schema": 1, "phases": phases, "locked": locked, "barriers": barriers, "turns": turns}
    path.write_text(json.dumps(told))
    return path


def test_each_cpu_is_told_with_its_machine(tmp_path: Path, topology: Topology) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True)
    found = read_instructions(tmp_path / instructions.FILE)
    assert [(cpu.number, cpu.machine) for cpu in found.cpus] == [
        (0, "house"),
        (1, "client"),
        (2, "server"),
        (3, "server"),
    ]
    assert found.of("server") == 2000 + 2 + 200 + 2000 + 3 + 300
    assert found.of("server", "user") == 500


def test_metrics_are_of_the_measured_phase_per_request(tmp_path: Path, topology: Topology) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True)
    found = read_instructions(tmp_path / instructions.FILE)
    rows = {
        metric: (role, value) for role, metric, value in instruction_metrics(found, MACHINES, 5)
    }
    assert rows["instructions_per_request"] == ("server", 4505 / 5)
    assert rows["instructions_per_request_user"] == ("server", 100)
    assert rows["instructions_per_request_kernel"] == ("server", 4005 / 5)
    assert rows["client_instructions_per_request"] == ("client", 2101 / 5)
    assert rows["house_instructions_per_request"] == ("house", 2000 / 5)
    assert rows["busy_instructions_cpu3"] == ("server", 2303)
    assert list(instruction_metrics(found, MACHINES, 0)) == []


def test_what_a_polling_server_executes_is_of_no_request(
    tmp_path: Path, topology: Topology
) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True, polling="server")
    found = read_instructions(tmp_path / instructions.FILE)
    assert found.of("server") == 2000 + 2 + 200 + 2000 + 3 + 300
    metrics = {metric for _, metric, _ in instruction_metrics(found, MACHINES, 5)}
    assert metrics == {
        "client_instructions_per_request",
        "house_instructions_per_request",
        "busy_instructions_cpu0",
        "busy_instructions_cpu1",
    }


def test_idle_turns_of_a_loop_that_marks_them_are_of_no_request(
    tmp_path: Path, topology: Topology
) -> None:
    instructions.keep(counts(tmp_path, idle=50), topology, tmp_path, marked=True, polling="server")
    found = read_instructions(tmp_path / instructions.FILE)
    assert found.of("server") == 2000 + 2 + 150 + 2000 + 3 + 250
    assert found.of("server", "user") == 150 + 250
    assert found.of("server", "kernel") == 4005
    rows = {metric: value for _, metric, value in instruction_metrics(found, MACHINES, 5)}
    assert rows["instructions_per_request"] == 4405 / 5
    assert rows["instructions_per_request_user"] == 400 / 5
    assert rows["busy_instructions_cpu3"] == 2253
    assert rows["requests_per_turn"] == 5 / 10


def test_a_cpu_without_a_loop_beside_one_with_a_loop_rests(
    tmp_path: Path, topology: Topology
) -> None:
    path = counts(tmp_path, idle=50)
    told = json.loads(path.read_text())
    for phase in told["turns"]:
        phase[3] = dict.fromkeys(phase[3], 0)
    path.write_text(json.dumps(told))
    instructions.keep(path, topology, tmp_path, marked=True, polling="server")
    found = read_instructions(tmp_path / instructions.FILE)
    assert [cpu.polls for cpu in found.cpus if cpu.machine == "server"] == [True, False]
    rows = {metric: value for _, metric, value in instruction_metrics(found, MACHINES, 5)}
    assert rows["instructions_per_request"] == (2000 + 2 + 150 + 2000 + 3 + 300) / 5


def test_a_guest_that_told_of_no_phase_is_a_failure(tmp_path: Path, topology: Topology) -> None:
    path = counts(tmp_path)
    told = json.loads(path.read_text())
    for cpu in told["phases"][2]:
        cpu |= {"user": 0, "kernel": 0}
    path.write_text(json.dumps(told))
    with pytest.raises(StepError, match="measured phase"):
        instructions.keep(path, topology, tmp_path, marked=True)
    # A second generator knows of no phases.
    instructions.keep(path, topology, tmp_path, marked=False)


def test_a_domain_that_is_missing_is_a_fault(tmp_path: Path, topology: Topology) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True)
    path = tmp_path / instructions.FILE
    path.write_text(path.read_text().replace('"ring0"', '"ring1"'))
    with pytest.raises(RawError, match="user, kernel, ring0"):
        read_instructions(path)


def test_atomics_are_told_by_domain_and_without_idle_turns(
    tmp_path: Path, topology: Topology
) -> None:
    instructions.keep(counts(tmp_path, idle=50), topology, tmp_path, marked=True, polling="server")
    found = read_instructions(tmp_path / instructions.FILE)
    rows = {metric: value for _, metric, value in instruction_metrics(found, MACHINES, 5)}
    assert rows["locked_per_request_user"] == (8 - 2 + 12 - 2) / 5
    assert rows["locked_per_request_kernel"] == (22 + 23) / 5
    assert rows["locked_per_request"] == (16 + 45) / 5
    assert rows["barriers_per_request_user"] == (2 + 3) / 5
    assert rows["barriers_per_request"] == (2 + 3 + 4) / 5


def test_atomics_of_a_loop_that_marks_no_turns_are_of_no_request(
    tmp_path: Path, topology: Topology
) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True, polling="server")
    found = read_instructions(tmp_path / instructions.FILE)
    metrics = {metric for _, metric, _ in instruction_metrics(found, MACHINES, 5)}
    assert not any(metric.startswith(ATOMICS) for metric in metrics)


def without(path: Path, *names: str) -> None:
    """Takes these out of every CPU and of its turns."""
    told = json.loads(path.read_text())
    for cpu in told["cpus"]:
        for name in names:
            cpu.pop(name, None)
            for turns in cpu["turns"].values():
                turns.pop(name, None)
    path.write_text(json.dumps(told))


def test_a_file_without_atomics_has_no_figure_of_them(tmp_path: Path, topology: Topology) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True)
    path = tmp_path / instructions.FILE
    without(path, *ATOMICS, "idle_locked", "idle_barriers")
    metrics = {metric for _, metric, _ in instruction_metrics(read_instructions(path), MACHINES, 5)}
    assert "instructions_per_request" in metrics
    assert not any(metric.startswith(ATOMICS) for metric in metrics)


@pytest.mark.parametrize("name", ["locked", "barriers", "idle_locked", "idle_barriers"])
def test_a_file_with_a_part_of_them_is_a_fault(
    tmp_path: Path, topology: Topology, name: str
) -> None:
    instructions.keep(counts(tmp_path), topology, tmp_path, marked=True)
    path = tmp_path / instructions.FILE
    without(path, name)
    with pytest.raises(RawError, match=name):
        read_instructions(path)
