# SPDX-License-Identifier: Apache-2.0
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.vm import domain, guest, links, netns
from orchestrator.vm.model import (
    MIB,
    Accelerator,
    Boot,
    Link,
    MachineConfig,
    Nic,
    NicModel,
    Topology,
    nic_mac,
)

BOOT = Boot(kernel=Path("/i/k"), initrd=Path("/i/i"), root=Path("/i/r"), image_id="image")
PLACE = domain.Place(
    domain_name="client",
    title="ringbed run client",
    emulator="/usr/bin/qemu-system-x86_64",
    firmware=Path("/s/fw"),
    sockets=Path("/s/link"),
    console_socket=Path("/s/con"),
    console_log=Path("/r/console.log"),
    ssh_port=20022,
)
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def topology(model: NicModel = NicModel.IGB, queues: int = 1, link: Link | None = None) -> Topology:
    def machine(name: str, address: str) -> MachineConfig:
        nic = Nic(ifname="data0", link="wire", model=model, queues=queues, address=address)
        return MachineConfig(name=name, cpus=2, memory_bytes=512 * MIB, boot=BOOT, nics=(nic,))

    return Topology(
        machines=(machine("client", "10.1.0.1/24"), machine("server", "10.1.0.2/24")),
        links=(link or Link(name="wire"),),
    )


def render(found: Topology, place: domain.Place = PLACE) -> ET.Element:
    return ET.fromstring(domain.render(found, found.machines[0], place))


def devices(root: ET.Element) -> list[dict[str, object]]:
    words = [str(arg.get("value")) for arg in root.iter(f"{QEMU}arg")]
    return [json.loads(word) for word in words if word.startswith("{")]


def test_the_text_is_the_same_every_time() -> None:
    found = topology()
    assert domain.render(found, found.machines[0], PLACE) == domain.render(
        found, found.machines[0], PLACE
    )


@given(st.text(alphabet="<>&'\" ab", min_size=1))
def test_whatever_stands_in_a_value_stays_a_value(text: str) -> None:
    root = render(topology(), replace(PLACE, title=text))
    assert root.findtext("title") == text


def test_kernel_arguments_are_escaped_and_come_last() -> None:
    found = topology()
    config = replace(found.machines[0], kernel_args=("mitigations=off", "x=<&>"))
    found = replace(found, machines=(config, found.machines[1]))
    line = render(found).findtext("os/cmdline")
    assert line is not None
    assert line.endswith("mitigations=off x=<&>")
    assert line.startswith("console=ttyS0 root=/dev/vda")


def test_igb_sits_alone_behind_a_port_with_a_fixed_address() -> None:
    netdev, port, nic = devices(render(topology()))
    assert netdev == {
        "id": "net-data0",
        "type": "stream",
        "addr": {"type": "unix", "path": "/s/link/0"},
        "server": True,
    }
    assert (port["driver"], port["addr"]) == ("pcie-root-port", "0x10")
    assert (nic["driver"], nic["bus"]) == ("igb", port["id"])


def test_one_end_listens_and_the_other_connects_again_and_again() -> None:
    found = topology()
    ends = [links.plugs(found, name, Path("/s")) for name in ("client", "server")]
    assert [end["data0"].side for end in ends] == [0, 1]
    assert ends[0]["data0"].port == ends[1]["data0"].port
    second = next(iter(links.arguments(found.machines[1], ends[1])))
    assert second == "-netdev"
    assert '"reconnect-ms":50' in list(links.arguments(found.machines[1], ends[1]))[1]


def test_virtio_with_one_queue_needs_no_tap() -> None:
    netdev, _, nic = devices(render(topology(NicModel.VIRTIO)))
    assert netdev["type"] == "stream"
    assert nic["driver"] == "virtio-net-pci"
    assert "mq" not in nic


def test_virtio_with_several_queues_gets_a_tap_with_as_many() -> None:
    found = topology(NicModel.VIRTIO, queues=2)
    netdev, _, nic = devices(render(found))
    assert (netdev["type"], netdev["ifname"], netdev["queues"]) == ("tap", "link0a", 2)
    assert (nic["mq"], nic["vectors"]) == (True, 6)
    commands = [" ".join(command) for command in netns.setup_commands(found)]
    assert "ip tuntap add link0a mode tap multi_queue" in commands
    assert "ip tuntap add link0b mode tap multi_queue" in commands


def test_the_viommu_brings_its_whole_family() -> None:
    found = topology(NicModel.VIRTIO)
    config = replace(found.machines[0], viommu=True)
    root = render(replace(found, machines=(config, found.machines[1])))
    assert root.find("features/ioapic") is not None
    assert root.find("devices/iommu/driver[@intremap='on']") is not None
    assert "intel_iommu=on" in str(root.findtext("os/cmdline"))
    assert devices(root)[2]["iommu_platform"] is True


@pytest.mark.parametrize(
    ("model", "accelerator", "mode", "features"),
    [
        ("max", Accelerator.TCG, "maximum", []),
        ("max,-erms", Accelerator.TCG, "maximum", [("disable", "erms")]),
        ("host", Accelerator.KVM, "host-passthrough", []),
        ("Skylake-Server,+pdpe1gb", Accelerator.KVM, "custom", [("require", "pdpe1gb")]),
    ],
)
def test_cpu_models(
    model: str, accelerator: Accelerator, mode: str, features: list[tuple[str, str]]
) -> None:
    found = topology()
    config = replace(found.machines[0], cpu_model=model, accelerator=accelerator)
    cpu = render(replace(found, machines=(config, found.machines[1]))).find("cpu")
    assert cpu is not None
    assert cpu.get("mode") == mode
    assert [(f.get("policy"), f.get("name")) for f in cpu.iter("feature")] == features


def fingerprint(found: Topology) -> str:
    config = found.machines[0]
    return domain.fingerprint(found, config, domain.firmware(found, config, "key", "host key"))


def test_the_fingerprint_ignores_where_a_run_keeps_its_files() -> None:
    found = topology()
    elsewhere = replace(BOOT, kernel=Path("/other/k"), initrd=Path("/o/i"), root=Path("/o/r"))
    moved = tuple(replace(machine, boot=elsewhere) for machine in found.machines)
    assert fingerprint(found) == fingerprint(replace(found, machines=moved))


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 3},
        {"memory_bytes": 768 * MIB},
        {"kernel_args": ("mitigations=off",)},
        {"viommu": True},
        {"cpu_model": "max,-erms"},
        {"accelerator": Accelerator.KVM},
        {"boot": replace(BOOT, image_id="other")},
        {"name": "other"},
        {"nics": ()},
    ],
)
def test_the_fingerprint_sees_what_a_guest_sees(change: dict[str, object]) -> None:
    found = topology()
    changed = replace(found.machines[0], **change)  # type: ignore[arg-type]
    links_left = found.links if changed.nics else ()
    machines = (changed, found.machines[1]) if changed.nics else (changed,)
    assert fingerprint(found) != fingerprint(Topology(machines=machines, links=links_left))


@pytest.mark.parametrize(
    "other",
    [
        topology(queues=2),
        topology(NicModel.VIRTIO),
        topology(link=Link(name="wire", delay_ns=1000)),
    ],
)
def test_the_fingerprint_sees_nics_and_links(other: Topology) -> None:
    assert fingerprint(topology()) != fingerprint(other)


def test_a_vf_gets_its_address_inside_and_its_port_another_one() -> None:
    found = topology(NicModel.IGB_VF)
    config = found.machines[0]
    port_mac = links.port_mac("client", config.nics[0])
    lines = domain.firmware(found, config, "key", "host key")["links"]
    assert lines == f"{port_mac} data0pf -\n"
    script = guest.vf_script("client", config.nics[0], found.links[0])
    assert port_mac not in script
    mac = nic_mac("client", config.nics[0])
    assert f"/usr/lib/ringbed/sriov data0pf,{mac},data0,10.1.0.1/24\n" in script


def test_impairments_become_one_netem() -> None:
    link = Link(name="wire", delay_ns=250_000, loss=0.01, rate_bps=10**9)
    found = topology(queues=2, link=link)
    commands = [" ".join(words) for words in guest.base_commands(found, found.machines[0])]
    assert commands == [
        "ethtool -L data0 combined 2",
        "ethtool -G data0 rx 4096",
        "tc qdisc replace dev data0 root netem limit 300000 delay 250000ns loss 1.000000% "
        "rate 1000000000bit",
    ]
