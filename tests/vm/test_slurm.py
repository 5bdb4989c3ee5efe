# SPDX-License-Identifier: Apache-2.0
"""Trials as jobs of a real Slurm of one node.

The ./ringbed that submits is started on a host that has Slurm (see `slurm_host`): it enters its
tools tree, leaves it for sbatch, squeue and scancel, and each job enters the tree on its node.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from leftovers import Done, Places, Ringbed, new_places
from slurm_host import Cluster
from test_virtual import OPTIONS, outputs

from orchestrator import paths, process
from orchestrator.run import journal
from orchestrator.run.directory import RunDirectory
from orchestrator.vm.model import Boot

pytestmark = pytest.mark.slurm

SLURM = ("--executor", "slurm")
# Longer in wall time than any of these tests.
ENDLESS = ("--set", "clock=virtual", "--set", "duration=100s", "--set", "matrix.load=[4000]")


@pytest.fixture(scope="module")
def own(boot: Boot) -> Iterator[Places]:
    with new_places() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(own: Places) -> Iterator[Cluster]:
    with Cluster(own).running() as found:
        yield found
    assert own.clean_within(20), own.leftovers()


@pytest.fixture(scope="module")
def on_cluster(cluster: Cluster) -> Ringbed:
    """The launcher, on the host that has Slurm."""
    return Ringbed(cluster.places, cluster.program(str(paths.project("ringbed"))))


@pytest.fixture(scope="module")
def experiment(own: Places) -> str:
    from conftest import TINY

    file = own.root / "tiny.yml"
    file.write_text(TINY, encoding="utf-8")
    return str(file)


def directory(done: Done) -> RunDirectory:
    assert done.code == 0, done.err
    return RunDirectory(path=Path(json.loads(done.out)["path"]))


def latest(places: Places) -> RunDirectory:
    return RunDirectory(path=sorted(places.runs.iterdir())[-1])


def gone(cluster: Cluster) -> bool:
    """No job that may still do something, and no guest that one left."""
    alive = cluster.jobs("pending", "running", "completing", "suspended")
    return not alive and not cluster.places.running("qemu-system-x86_64")


def test_a_job_for_each_trial_and_the_same_bytes(
    cluster: Cluster, on_cluster: Ringbed, experiment: str
) -> None:
    shown = on_cluster("plan", experiment, *OPTIONS, *SLURM, "--jobs", "2")
    assert shown.code == 0, shown.err
    assert "slurm, 2 jobs at a time" in shown.out
    words = ("run", experiment, "--json", "--repeat", "2", *OPTIONS)
    by_jobs = directory(on_cluster(*words, *SLURM, "--jobs", "2", seconds=500))
    here = directory(on_cluster(*words, "--jobs", "1", seconds=400))
    found = outputs(by_jobs)
    assert found == outputs(here)
    assert len({digest for path, digest in found.items() if path.endswith("load.json")}) == 2
    # One for the snapshot and one for each trial.
    assert len(cluster.jobs("completed")) == 3
    assert len(list((by_jobs.path / "jobs").glob("*_0_result.pkl"))) == 3
    assert not (here.path / "jobs").exists()
    assert gone(cluster)


def test_ctrl_c_cancels_the_jobs(cluster: Cluster, on_cluster: Ringbed, experiment: str) -> None:
    before = set(cluster.jobs("cancelled"))
    command = on_cluster.start("run", experiment, "--repeat", "2", *ENDLESS, *SLURM, "-j2")
    guests = cluster.places
    command.until(
        lambda: len(guests.running("qemu-system-x86_64", "incoming")) == 2, "two trials", 300
    )
    command.process.send_signal(signal.SIGINT)
    assert command.wait(120).code == 130
    assert gone(cluster)
    assert len(set(cluster.jobs("cancelled")) - before) == 2
    # The nodes' scratch files went with the jobs, which had time to end themselves.
    assert not [path for path in guests.state.iterdir() if path.name != "ports"]
    outcomes = journal.progress(latest(guests).journal)
    assert outcomes.ended == "interrupted"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (("scancel", "{job}"), "it was cancelled"),
        (("scontrol", "update", "NodeName={node}", "State=DOWN", "Reason=test"), "its node failed"),
    ],
)
def test_a_job_that_comes_to_nothing_is_a_failed_trial(
    cluster: Cluster, on_cluster: Ringbed, experiment: str, end: tuple[str, ...], reason: str
) -> None:
    node = cluster("sinfo", "--noheader", "--format=%n").strip()
    command = on_cluster.start("run", experiment, *ENDLESS, *SLURM)
    places = cluster.places
    command.until(lambda: places.running("qemu-system-x86_64", "incoming"), "the trial", 300)
    (job,) = cluster.jobs("running")
    try:
        cluster(*(word.format(job=job, node=node) for word in end))
        done = command.wait(120)
    finally:
        cluster.recover()
    assert done.code == 3
    assert f"Slurm's job {job} has no result: {reason}" in " ".join(done.err.split())
    told = journal.progress(latest(places).journal)
    assert list(told.outcomes.values()) == ["failed"]
    assert reason in next(iter(told.reasons.values()))


def test_a_time_limit_is_named(cluster: Cluster, on_cluster: Ringbed, experiment: str) -> None:
    settings = cluster.root / "short.toml"
    settings.write_text("time_minutes = 1\n[sbatch]\ncomment = 'short'\n", encoding="utf-8")
    done = on_cluster(
        "run", experiment, *ENDLESS, *SLURM, "--slurm-config", str(settings), seconds=400
    )
    assert done.code == 3
    assert "reached its time limit" in done.err
    assert gone(cluster)


def test_a_run_on_the_wall_clock_is_one_job(
    cluster: Cluster, on_cluster: Ringbed, experiment: str
) -> None:
    """As docs/scale-out.md says: the launcher is what the job runs."""
    out, log = cluster.root / "wall.json", cluster.root / "wall.log"
    run = f"{paths.project('ringbed')} run {experiment} --json >{out} 2>{log}"
    sbatch = ("sbatch", "--wait", "--exclusive", "--output=/dev/null", "--wrap", run)
    process.run(cluster.program(*sbatch), timeout=400, env=cluster.settings())
    found = RunDirectory(path=Path(json.loads(out.read_text(encoding="utf-8"))["path"]))
    assert found.state() == "finished", log.read_text(encoding="utf-8")
    assert gone(cluster)


def test_what_cannot_be_is_refused_by_the_plan(
    cluster: Cluster, on_cluster: Ringbed, ringbed: Ringbed, experiment: str
) -> None:
    wrong = cluster.root / "wrong.toml"
    wrong.write_text('partition = "gpu"\n', encoding="utf-8")
    words = ("plan", experiment, "--set", "clock=virtual", *SLURM)
    refused = on_cluster(*words, "--slurm-config", str(wrong))
    assert refused.code == 2
    assert "no partition gpu" in refused.err and "debug" in refused.err
    # This machine itself has no Slurm.
    absent = ringbed(*words)
    assert absent.code == 3
    assert "no sbatch in reach" in absent.err
