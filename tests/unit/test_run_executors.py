# SPDX-License-Identifier: Apache-2.0
"""Which executor a run gets, what it says of itself, and what it refuses before anything starts."""

import pickle
from pathlib import Path

import pytest

from orchestrator.errors import MachineError, StepError, UsageError
from orchestrator.host.slurm import Slurm, SlurmSettings
from orchestrator.run import places
from orchestrator.run.compose import Drivers
from orchestrator.run.executor import Executor
from orchestrator.run.hosts import HostsExecutor
from orchestrator.run.job import Failure
from orchestrator.run.local import LocalExecutor
from orchestrator.run.plan import Plan, make_plan
from orchestrator.run.slurm import SlurmExecutor
from orchestrator.spec import find_experiment, load_experiment

HOSTS = ("qemu+ssh://a/system", "qemu+ssh://b/system")


def plan(*overrides: str) -> Plan:
    experiment = load_experiment(find_experiment("message-size"), overrides)
    return make_plan(experiment, Drivers(), inputs={})


def test_without_options_trials_run_here_one_at_a_time() -> None:
    asked = places.where("local", slots=1, connect=[], slurm=None)
    assert places.choose(asked, "wall") == LocalExecutor(slots=1, clock="wall")


def test_every_executor_says_where_and_how_many() -> None:
    executors: list[Executor] = [
        LocalExecutor(slots=2, clock="wall"),
        HostsExecutor(connections=HOSTS, slots=3),
        SlurmExecutor(slots=4, slurm=Slurm(SlurmSettings(partition="p", time_minutes=5))),
    ]
    assert [executor.describe() for executor in executors] == [
        "local, 2 slots",
        f"libvirt on 2 hosts ({', '.join(HOSTS)}), up to 3 slots, leased there",
        "slurm, 4 jobs at a time, partition p, 5 min each",
    ]


def test_trials_on_the_wall_clock_that_share_a_host_are_warned_of() -> None:
    wall = plan("clock=wall")
    assert LocalExecutor(slots=1, clock="wall").check_plan(wall) == []
    (warning,) = LocalExecutor(slots=2, clock="wall").check_plan(wall)
    assert "share a host's cores" in warning
    assert HostsExecutor(connections=HOSTS, slots=2).check_plan(wall) == []
    assert len(HostsExecutor(connections=HOSTS, slots=3).check_plan(wall)) == 1


def test_a_trial_on_the_virtual_clock_takes_one_core() -> None:
    virtual = plan("clock=virtual")
    assert LocalExecutor(slots=8, clock="virtual").check_plan(virtual) == []
    wall = plan("clock=wall")
    assert virtual.demand.cpus == 1 < wall.demand.cpus
    assert virtual.demand.memory_bytes > wall.demand.memory_bytes


def test_what_does_not_fit_together_is_refused() -> None:
    both = places.where("slurm", slots=1, connect=HOSTS, slurm=None)
    with pytest.raises(UsageError, match="slurm has none"):
        places.choose(both, "virtual")
    with pytest.raises(UsageError, match="the guest runs on this host"):
        HostsExecutor(connections=HOSTS, slots=1).check_plan(plan("clock=virtual"))
    with pytest.raises(UsageError, match="given twice"):
        HostsExecutor(connections=(*HOSTS, HOSTS[0]), slots=1).check_plan(plan("clock=wall"))
    with pytest.raises(UsageError, match="virtual clock only"):
        SlurmExecutor(slots=1, slurm=Slurm(SlurmSettings())).check_plan(plan("clock=wall"))


@pytest.mark.parametrize(
    "error",
    [
        StepError("no", machine="server", step="start", hint="look", details="lines"),
        MachineError("gone", machine="guest", hint="again", details="console"),
    ],
)
def test_an_error_comes_back_from_a_job_as_it_was(error: StepError | MachineError) -> None:
    sent = pickle.loads(pickle.dumps(Failure.of(error)))
    back = sent.error()
    assert type(back) is type(error)
    assert (str(back), vars(back)) == (str(error), vars(error))


def test_settings_of_a_file_reach_the_executor(tmp_path: Path) -> None:
    file = tmp_path / "slurm.toml"
    file.write_text('partition = "short"\n', encoding="utf-8")
    asked = places.where("slurm", slots=2, connect=[], slurm=file)
    assert "2 jobs at a time, partition short" in places.choose(asked, "virtual").describe()
