# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.vm.model import (
    MIB,
    Accelerator,
    Boot,
    Link,
    MachineConfig,
    Nic,
    NicModel,
    Topology,
    derived_mac,
    nic_mac,
)

BOOT = Boot(kernel=Path("k"), initrd=Path("i"), root=Path("r"), image_id="image")


def machine(name: str, *nics: Nic) -> MachineConfig:
    return MachineConfig(name=name, cpus=2, memory_bytes=512 * MIB, boot=BOOT, nics=nics)


def pair(nic: Nic | None = None, link: Link | None = None) -> Topology:
    here = nic or Nic(ifname="data0", link="wire", address="10.1.0.1/24")
    there = Nic(ifname="data0", link="wire", address="10.1.0.2/24")
    return Topology(
        machines=(machine("client", here), machine("server", there)),
        links=(link or Link(name="wire"),),
    )


def test_a_sound_topology_passes() -> None:
    topology = pair()
    topology.check()
    assert [owner for owner, _ in topology.ends("wire")] == ["client", "server"]


@pytest.mark.parametrize(
    ("nic", "what"),
    [
        (Nic(ifname="data0", link="wire", queues=3), "1 to 2 work"),
        (Nic(ifname="data0", link="wire", queues=0), "1 to 2 work"),
        (Nic(ifname="data0", link="wire", model=NicModel.IGB_VF, queues=2), "1 to 1 work"),
        (Nic(ifname="mgmt0", link="wire"), "cannot name a NIC"),
        (Nic(ifname="much-too-long-0", link="wire"), "cannot name a NIC"),
        (Nic(ifname="data0", link="wire", mac="01:00:00:00:00:01"), "no unicast address"),
        (Nic(ifname="data0", link="wire", mac="52:54:00:00:00:1"), "no unicast address"),
        (Nic(ifname="data0", link="wire", address="10.1.0.300/24"), "10.1.0.300/24"),
        (Nic(ifname="data0", link="elsewhere"), "no link elsewhere"),
    ],
)
def test_a_nic_that_cannot_be_built_is_refused(nic: Nic, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        pair(nic).check()


@pytest.mark.parametrize(
    "link",
    [
        Link(name="wire", loss=1.0),
        Link(name="wire", delay_ns=-1),
        Link(name="wire", rate_bps=-1),
    ],
)
def test_an_impossible_link_is_refused(link: Link) -> None:
    with pytest.raises(UsageError, match="link wire"):
        pair(link=link).check()


def test_a_link_with_one_end_is_refused() -> None:
    alone = Topology(
        machines=(machine("client", Nic(ifname="data0", link="wire")),), links=(Link(name="wire"),)
    )
    with pytest.raises(UsageError, match="has 1 end"):
        alone.check()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": "Client"}, "cannot name a machine"),
        ({"cpus": 0}, "0 cpus"),
        ({"memory_bytes": 64 * MIB}, "64 MiB"),
        ({"memory_bytes": 512 * MIB + 1}, "whole number"),
        ({"cpu_model": "host"}, "needs KVM"),
    ],
)
def test_a_machine_that_cannot_be_built_is_refused(change: dict[str, object], what: str) -> None:
    wrong = replace(machine("client"), **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=what):
        Topology(machines=(wrong,)).check()


def test_host_cpu_goes_with_kvm() -> None:
    fast = replace(machine("client"), cpu_model="host", accelerator=Accelerator.KVM)
    Topology(machines=(fast,)).check()


def test_two_things_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two machines are named client"):
        Topology(machines=(machine("client"), machine("client"))).check()


@given(st.lists(st.text(max_size=20), max_size=4))
def test_derived_addresses_are_unicast_and_stable(parts: list[str]) -> None:
    mac = derived_mac(*parts)
    assert mac == derived_mac(*parts)
    assert int(mac[:2], 16) & 1 == 0
    assert len(mac) == 17


def test_an_address_asked_for_is_kept() -> None:
    asked = Nic(ifname="data0", link="wire", mac="52:54:00:00:00:01")
    assert nic_mac("client", asked) == "52:54:00:00:00:01"
    assert nic_mac("client", replace(asked, mac="")) != nic_mac("server", replace(asked, mac=""))
