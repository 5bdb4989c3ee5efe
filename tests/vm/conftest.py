# SPDX-License-Identifier: Apache-2.0
"""Guests that tests share. Booting one takes as long as dozens of tests.

A process can have one embedded hypervisor, so the tests share that too. RINGBED_TEST_IMAGE names
a directory with vmlinux, initrd.img and root.ext4 to be used instead of images/guest.toml.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from leftovers import Places, Ringbed, new_places

from orchestrator.host.cbuild import ensure_dataplane
from orchestrator.host.owned import new_token
from orchestrator.imaging import ensure_image
from orchestrator.vm.group import Group
from orchestrator.vm.hypervisor import Hypervisor, HypervisorOptions
from orchestrator.vm.model import MIB, Boot, Link, MachineConfig, Nic, NicModel, Topology


@pytest.fixture(scope="session")
def boot() -> Boot:
    """The guest image; it and the programs are built before `own_places` hides the cache."""
    ensure_dataplane()
    place = os.environ.get("RINGBED_TEST_IMAGE")
    if place:
        directory = Path(place)
        return Boot(
            kernel=directory / "vmlinux",
            initrd=directory / "initrd.img",
            root=directory / "root.ext4",
            image_id="test",
        )
    image = ensure_image("guest")
    return Boot(kernel=image.kernel, initrd=image.initrd, root=image.root, image_id=image.hash)


@pytest.fixture(scope="session")
def own_places(boot: Boot) -> Iterator[Path]:
    """State, snapshots and keys of these tests alone, in a directory with a short name."""
    with (
        tempfile.TemporaryDirectory(prefix="rbt", dir="/tmp") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        root = Path(name)
        root.chmod(0o711)
        for variable in ("STATE", "CACHE", "DATA"):
            patch.setenv(f"RINGBED_{variable}", str(root / variable.lower()))
        yield root


@pytest.fixture(scope="session")
def hypervisor(own_places: Path) -> Iterator[Hypervisor]:
    with Hypervisor(new_token(), HypervisorOptions()) as found:
        yield found


def every_nic(boot: Boot) -> Topology:
    """Two guests joined by a link of each NIC model."""

    def machine(name: str, host: int) -> MachineConfig:
        nics = (
            Nic(ifname="igb0", link="igb", queues=2, address=f"10.1.0.{host}/24"),
            Nic(ifname="vf0", link="vf", model=NicModel.IGB_VF, address=f"10.2.0.{host}/24"),
            Nic(
                ifname="vnet0",
                link="virtio",
                model=NicModel.VIRTIO,
                queues=2,
                address=f"10.3.0.{host}/24",
            ),
        )
        return MachineConfig(
            name=name, cpus=2, memory_bytes=512 * MIB, boot=boot, nics=nics, viommu=True
        )

    return Topology(
        machines=(machine("client", 1), machine("server", 2)),
        links=(Link(name="igb"), Link(name="vf"), Link(name="virtio")),
    )


def single(boot: Boot, name: str = "solo") -> Topology:
    """One guest without data NICs: the cheapest there is."""
    config = MachineConfig(name=name, cpus=1, memory_bytes=384 * MIB, boot=boot)
    return Topology(machines=(config,))


@pytest.fixture(scope="session")
def pair(hypervisor: Hypervisor, boot: Boot, own_places: Path) -> Group:
    """The guests of `every_nic`, up. A test that harms them brings them up again."""
    group = hypervisor.define(every_nic(boot), own_places / "pair")
    group.up(deadline_s=300)
    return group


TINY = """\
schema: 1
name: tiny
title: The smallest run there is
clock: wall
seed: 1
repetitions: 1
warmup: 100ms
duration: 300ms
accounting: false
machines:
  client: {cpus: 1, memory: 256MiB}
  server: {cpus: 1, memory: 256MiB}
links:
  - ends:
      - {machine: client, nic: igb}
      - {machine: server, nic: igb}
variants:
  echo: {stack: linux, app: echo}
workload:
  mode: open
  arrival: poisson
  connections: 4
  message: 64B
  # A busy host makes the client late, which is no fault of what is tested.
  adherence: {late_after: 10s, min_on_time: 0.1%}
matrix:
  load: [200]
metrics: [achieved_rps, latency_p50]
"""


@pytest.fixture(scope="session")
def places(boot: Boot) -> Iterator[Places]:
    """Where the command line works in tests of whole runs; they share its snapshots.

    After `boot`: what takes minutes to build is there, so that deadlines are those of runs.
    """
    with new_places() as found:
        yield found


@pytest.fixture(scope="session")
def ringbed(places: Places) -> Ringbed:
    return Ringbed(places)


@pytest.fixture(scope="session")
def tiny(places: Places) -> str:
    """An experiment of one trial on two small guests: the path of its file."""
    file = places.root / "tiny.yml"
    file.write_text(TINY, encoding="utf-8")
    return str(file)
