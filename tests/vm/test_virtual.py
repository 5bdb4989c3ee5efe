# SPDX-License-Identifier: Apache-2.0
"""The virtual clock: the same bytes, however often and from wherever a trial starts."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from leftovers import Places, Ringbed, argv
from repeated import ONE_EACH, directory, same_bytes

from orchestrator.analysis.instructions import ATOMICS, Instructions, read_instructions
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.host.plugin import ensure_plugin
from orchestrator.host.trees import ensure_tree
from orchestrator.run import session
from orchestrator.run.directory import RunDirectory
from orchestrator.run.plan import Trial
from orchestrator.run.sealedbed import TRIAL_S, SealedTestbed
from orchestrator.steps import sealed

pytestmark = pytest.mark.vm

OPTIONS = ("--set", "clock=virtual", "--set", "duration=50ms", "--set", "matrix.load=[4000]")


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """What the first run would build, before anything has a deadline."""
    ensure_plugin(ensure_tree("tools"))
    ensure_tree("stress")


def outputs(run: RunDirectory) -> dict[str, str]:
    """The digest of every raw file of every trial."""
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run.path / "trials").rglob("*"))
        if path.is_file()
    }


def test_a_run_proves_that_it_gives_the_same_bytes(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    run = same_bytes(ringbed, tiny, *OPTIONS)
    (trial,) = run.trials.iterdir()
    counted = read_instructions(trial / "instructions.json")
    # Each request costs both sides thousands of instructions, most of them in the kernel.
    completed = json.loads((trial / "load.json").read_text())["completed"]
    for machine in ("client", "server"):
        assert counted.of(machine) > 5_000 * completed
        assert counted.of(machine, "kernel") > counted.of(machine, "user") > 0
    assert counted.of("server", "ring0") == 0
    # Linux has locks and atomic counters, and fences of its own; rb-echo has none.
    for machine in ("client", "server"):
        assert counted.atomics_of(machine, "locked", "kernel") > 10 * completed
        assert counted.atomics_of(machine, "barriers", "kernel") > completed
    assert user_atomics(counted, "server") == 0
    # QEMU's main loop has let the CPUs come to rest before it moved the clock on.
    said = (run.path / "machines" / "guest" / "qemu.log").read_text()
    assert int(re.findall(r"^turns: the main loop waited (\d+) times", said, re.M)[-1]) > 0
    assert places.clean_within(), places.leftovers()


def test_a_dpdk_trial_gives_the_same_bytes(ringbed: Ringbed, places: Places) -> None:
    options = ("--only", "testpmd", "--set", "matrix.load=[4000]", "--set", "duration=20ms")
    run = same_bytes(ringbed, "bypass", *options)
    (trial,) = run.trials.iterdir()
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"], load["reasons"]
    assert load["completed"] == load["scheduled"] > 0
    assert not any(load["errors"].values())
    # testpmd itself has seen as many datagrams, and has returned them.
    (received,) = re.findall(r"^ +RX-packets: (\d+) ", (trial / "server.log").read_text(), re.M)[:1]
    assert int(received) >= load["requests_total"]
    counted = read_instructions(trial / "instructions.json")
    # It polls, and Linux has nearly nothing to do on its CPU; the client's is the kernel's work.
    assert counted.polls("server") and not counted.polls("client")
    assert counted.of("server", "user") > 20 * counted.of("server", "kernel")
    assert counted.of("client", "kernel") > counted.of("client", "user") > 0
    assert places.clean_within(), places.leftovers()


@pytest.mark.parametrize(
    ("nic", "options"),
    [
        # The client on the dataplane, too. The other NICs have a client on Linux, with which a
        # trial takes half as long: nothing polls while a second dataplane starts.
        ("igb", ("workload.stack=ix",)),
        # A virtual function is had by vfio alone, the others by uio as well.
        ("igb-vf", ("machines.server.viommu=true",)),
        # Its driver has fences, of which ix-echo claims that there are none.
        ("virtio", ("claims=[]",)),
    ],
)
def test_a_trial_on_the_dataplane_gives_the_same_bytes(
    ringbed: Ringbed, places: Places, nic: str, options: tuple[str, ...]
) -> None:
    short = ("matrix.workload.connections=[32]", "warmup=5ms", "duration=5ms")
    given = (*options, *short, f"links.0.ends.1.nic={nic}")
    changes = (word for change in given for word in ("--set", change))
    run = same_bytes(ringbed, "ix-echo", "--only", "ix", *changes)
    (trial,) = run.trials.iterdir()
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"], load["reasons"]
    assert not any(load["errors"].values())
    # Each dataplane has seen the same segments, and sent none twice.
    found = sorted(trial.glob("*dpos.json"))
    assert len(found) == (2 if nic == "igb" else 1)
    for counters in found:
        (core,) = json.loads(counters.read_text())["cores"]
        assert core["net"]["tcp_in"] >= load["requests_total"]
        assert core["net"]["tcp_retransmitted"] == core["net"]["bad_checksums"] == 0
        assert core["queue"]["tx_full"] == 0
    # Its loop tells of its turns: a request costs a fraction of what it costs Linux.
    counted = read_instructions(trial / "instructions.json")
    assert counted.is_told("server") and counted.is_told("client")
    assert 0 < counted.of("server") < 5_000 * load["completed"]
    # Nothing on the way of a packet is locked, in idle turns neither: dpos, the driver of an igb
    # and the applications.
    assert user_atomics(counted, "client") == 0
    assert (user_atomics(counted, "server") > 0) == (nic == "virtio")
    assert places.clean_within(), places.leftovers()


def user_atomics(counted: Instructions, machine: str) -> int:
    """Locked instructions and barriers outside the kernel, idle turns included."""
    own = (cpu for cpu in counted.cpus if cpu.machine == machine)
    kinds = (cpu.atomics[kind].measured for cpu in own for kind in ATOMICS)
    return sum(kind["user"] + kind["ring0"] for kind in kinds)


def test_locked_instructions_of_a_program_are_counted(ringbed: Ringbed, places: Places) -> None:
    """Of memcached on Linux, which takes locks for a request also with one thread. That dpos has
    none says something only if the same count finds those that there are."""
    point = ("--set", "matrix.workload.connections=[32]", "--set", "duration=10ms")
    words = ("--only", "linux", *point, *ONE_EACH)
    done = ringbed("run", "ix-memcached", "--json", *words, seconds=400)
    assert done.code == 0, done.err
    (trial,) = directory(done.out).trials.iterdir()
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"], load["reasons"]
    assert load["completed"] > 0
    counted = read_instructions(trial / "instructions.json")
    assert counted.atomics_of("server", "locked", "user") > 10 * load["completed"]
    assert counted.atomics_of("server", "locked", "kernel") > 10 * load["completed"]
    # A lock is more than a fence.
    assert counted.atomics_of("server", "barriers", "user") == 0
    assert places.clean_within(), places.leftovers()


def session_of(bed: SealedTestbed, trial: Trial, place: Path, plugins: tuple[str, ...]) -> Path:
    """The nvdimm with all that a guest leaves of a trial, after a session in that new directory."""
    place.mkdir()
    files = replace(bed._files(place, place), plugins=plugins)
    bed._fill(files, trial, bed._script(trial))
    bed._machine.run(files, deadline_s=TRIAL_S)
    return files.output


def test_the_plugin_that_counts_changes_nothing(
    places: Places, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in places.environment().items():
        if name.startswith("RINGBED_"):
            monkeypatch.setenv(name, value)
    selection = session.Selection(overrides=OPTIONS[1::2], repeat=2)
    ready = session.prepare(tiny, selection, session.Settings(runs_dir=places.runs))
    counting = f"{ready.supplies.plugin},out={tmp_path}/counts.json"
    (topology,) = ready.plan.topologies
    with OwnedDirectory(new_token()) as state:
        bed = SealedTestbed(topology, ready.supplies, tmp_path, state=state)
        bed.up()
        first, second = ready.plan.trials
        counted = session_of(bed, first, tmp_path / "counted", (counting,))
        assert json.loads((tmp_path / "counts.json").read_text())
        alone = session_of(bed, first, tmp_path / "alone", ())
        assert alone.read_bytes() == counted.read_bytes()
        console = "console.log"
        assert alone.with_name(console).read_bytes() == counted.with_name(console).read_bytes()
        sealed.unpack(bed._script(first), alone, alone.parent)
        assert json.loads((alone.parent / "load.json").read_text())["completed"] > 0
        # Another seed, other bytes: the comparison can fail.
        other = session_of(bed, second, tmp_path / "other", ())
        assert other.read_bytes() != alone.read_bytes()
    assert places.clean_within(), places.leftovers()


def test_a_dataplane_without_an_application_gives_the_same_bytes(
    ringbed: Ringbed, places: Places
) -> None:
    """Its applications are in test_taken_nics.py. A load of bare frames keeps its bursts full."""
    only = ("--only", "options.batch=64", "--only", "links.0.ends.1.nic=igb-vf")
    run = same_bytes(ringbed, "l2", *only, "--set", "duration=10ms")
    (trial,) = run.trials.iterdir()
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"] and load["completed"] > 0, load["reasons"]
    assert not any(load["errors"].values())
    counted = read_instructions(trial / "instructions.json")
    assert counted.is_told("server") and counted.of("server") > 0
    assert load["completed_in_window"] / counted.busy_turns("server") > 60
    assert places.clean_within(), places.leftovers()


def test_other_places_give_the_same_bytes(
    ringbed: Ringbed, places: Places, tiny: str, tmp_path: Path
) -> None:
    # One trial at a time: left to itself, the virtual clock takes as many as the host has cores.
    words = ("run", tiny, "--json", *OPTIONS, "--repeat", "2")
    done = ringbed(*words, "--jobs", "1", seconds=400)
    assert done.code == 0, done.err
    first = outputs(directory(done.out))
    # On a host of another name, from another directory, with a snapshot of its own, and two trials
    # at a time.
    there = argv(*words, "--jobs", "2")
    shutil.rmtree(places.cache / "snapshots")
    again = subprocess.run(
        ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *there],
        env=places.environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=400,
        check=True,
    )
    assert first == outputs(directory(again.stdout))
    # Other seeds, other bytes: the comparison can fail.
    assert len({digest for path, digest in first.items() if path.endswith("load.json")}) == 2
