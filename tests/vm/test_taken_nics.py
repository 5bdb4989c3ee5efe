# SPDX-License-Identifier: Apache-2.0
"""Stacks that drive the NIC themselves: every model of it, every application, and both clocks."""

import json
from pathlib import Path

import pytest
from leftovers import Places, Ringbed
from repeated import directory, same_bytes

from orchestrator.analysis.instructions import ATOMICS, read_instructions
from orchestrator.run import stored

# By name only: guests on the wall clock that lend their NICs take ten minutes.
pytestmark = pytest.mark.dataplane

LENDING = """\
schema: 1
name: lending
title: Stacks that take turns with the NIC of one server
clock: wall
seed: 1
repetitions: 2
warmup: 100ms
duration: 300ms
accounting: false
machines:
  client: {cpus: 1, memory: 384MiB}
  server: {cpus: 1, memory: 512MiB}
links:
  - ends:
      - {machine: client, nic: igb}
      - {machine: server, nic: igb}
variants:
  ix: {stack: ix, app: echo}
  linux: {stack: linux, app: echo, options: {threads: 1}}
workload:
  mode: closed
  connections: 4
  message: 64B
metrics: [achieved_rps, latency_p50]
"""
IOMMU = ("--set", "machines.server.viommu=true")


def sound(trial: Path) -> None:
    """The load was answered, and the dataplane lost nothing."""
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"], load["reasons"]
    assert load["completed"] > 0
    assert not any(load["errors"].values())
    if (trial / "dpos.json").exists():
        (core,) = json.loads((trial / "dpos.json").read_text())["cores"]
        assert core["net"]["tcp_in"] >= load["requests_total"]
        assert core["net"]["bad_checksums"] == 0


@pytest.fixture(scope="module")
def lending(places: Places) -> str:
    file = places.root / "lending.yml"
    file.write_text(LENDING, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("nic", "driver", "options"),
    [
        ("igb", "uio_pci_generic", ()),
        ("igb-vf", "vfio-pci", IOMMU),
        ("virtio", "uio_pci_generic", ()),
    ],
)
def test_linux_gets_its_nic_back_between_trials(
    ringbed: Ringbed,
    places: Places,
    lending: str,
    nic: str,
    driver: str,
    options: tuple[str, ...],
) -> None:
    words = ("--set", f"links.0.ends.1.nic={nic}", *options)
    done = ringbed("run", lending, "--json", *words, seconds=600)
    assert done.code == 0, done.err
    run = directory(done.out)
    stacks = []
    for trial in sorted(run.trials.iterdir()):
        stacks.append(json.loads((trial / "trial.json").read_text())["stack"])
        sound(trial)
    assert sorted(stacks) == ["ix", "ix", "linux", "linux"]
    # The manifest says what had the NIC meanwhile, and what has it since.
    told = stored.read_manifest(run)["trial_readback"]
    assert len(told) == 2
    for trial_told in told.values():
        assert trial_told["server-nic"]["link0"]["driver"] == driver
        back = trial_told["server-returned"]["link0"]
        linux = {"igb": "igb", "igb-vf": "igbvf", "virtio": "virtio-pci"}[nic]
        assert (back["driver"], back["was"]) == (linux, "the same")
        assert trial_told["server-pages"]["2048"]["total"] == 48
    assert places.clean_within(), places.leftovers()


def test_a_machine_without_memory_for_it_is_told_what_to_do(ringbed: Ringbed, lending: str) -> None:
    words = ("--set", "variants.ix.options.memory_mib=1024", "--only", "ix")
    done = ringbed("run", lending, *words, seconds=300)
    assert done.code == 3, done.err
    assert "huge pages of 2048 kB" in done.err
    assert "give the machine more memory, or the stack less" in done.err


@pytest.mark.parametrize(("nic", "options"), [("igb-vf", IOMMU), ("virtio", ()), ("igb", IOMMU)])
def test_every_nic_gives_the_same_bytes(
    ringbed: Ringbed, places: Places, nic: str, options: tuple[str, ...]
) -> None:
    point = ("--set", "matrix.workload.connections=[32]", "--set", "duration=20ms")
    words = ("--only", "ix", "--set", f"links.0.ends.1.nic={nic}", *options, *point)
    if nic == "virtio":
        # The claim is of an igb: that a request takes no locked instruction, fences included.
        words += ("--set", "claims=[]")
    run = same_bytes(ringbed, "ix-echo", *words)
    for trial in run.trials.iterdir():
        sound(trial)
        counted = read_instructions(trial / "instructions.json")
        locked, fences = (counted.atomics_of("server", kind, "user") for kind in ATOMICS)
        # DPDK's driver of virtio orders what it wrote before it looks whether to tell the device.
        assert locked == fences
        assert (locked > 0) == (nic == "virtio")
    assert places.clean_within(), places.leftovers()


@pytest.mark.parametrize(
    ("experiment", "only"),
    [
        ("ix-pools", ("ix", "load=20000", "workload.memcached.profile=etc")),
        ("ix-spin", ("ix", "load=20000", "workload.service_time.mean=10us")),
    ],
)
def test_every_application_gives_the_same_bytes(
    ringbed: Ringbed, places: Places, experiment: str, only: tuple[str, ...]
) -> None:
    chosen = (word for one in only for word in ("--only", one))
    run = same_bytes(ringbed, experiment, *chosen)
    (trial,) = run.trials.iterdir()
    sound(trial)
    counted = read_instructions(trial / "instructions.json")
    assert counted.is_told("server") and counted.of("server") > 0
    assert places.clean_within(), places.leftovers()
