# SPDX-License-Identifier: Apache-2.0
"""The cables between guests, as QEMU arguments.

Each data NIC sits alone behind a PCIe root port with a fixed address, so that its place in the
guest never depends on what else libvirt puts into the machine.

Two kinds of cable exist:

stream  a connected AF_UNIX socket between the two QEMU processes. It needs no privileges, it
        delivers in order and without loss (a full socket makes QEMU queue up to 10,000 frames),
        and either side may restart: the second end connects again. QEMU's datagram sockets are
        not used: their queue has ten places, and a QEMU that finds it full spins until there is
        room. One queue at the netdev is enough for igb, which spreads frames over its queues
        inside the model.
tap     for virtio-net with several queues, whose back-end must have as many. Two multiqueue taps
        on a bridge in a network namespace of their own (`vm.netns`), in which QEMU runs.

virtio-net has no offloads on either kind, so that frames on every cable are at most one MTU long
and a NIC with one queue differs from one with four in nothing but the queues.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.vm.model import MachineConfig, Nic, NicModel, Topology, derived_mac, nic_mac

FIRST_SLOT = 0x10
FIRST_CHASSIS = 64
RECONNECT_MS = 50


class Cable(StrEnum):
    STREAM = "stream"
    TAP = "tap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """One end of a cable. side: 0 for the end that listens, 1 for the one that connects.

    port: the socket's path (stream) or the tap's name (tap). queues: of the tap.
    """

    cable: Cable
    side: int
    port: str
    queues: int = 1


def needs_tap(topology: Topology, link: str) -> bool:
    return any(nic.model is NicModel.VIRTIO and nic.queues > 1 for _, nic in topology.ends(link))


def tap_name(link_index: int, side: int) -> str:
    """Interface names are short (15 letters) and only have to be unique in their namespace."""
    return f"link{link_index}{'ab'[side]}"


def plugs(topology: Topology, machine: str, sockets: Path) -> dict[str, Plug]:
    """The cable end of each NIC of a machine, by interface name."""
    found: dict[str, Plug] = {}
    for index, link in enumerate(topology.links):
        for side, (owner, nic) in enumerate(topology.ends(link.name)):
            if owner != machine:
                continue
            if needs_tap(topology, link.name):
                queues = nic.queues if nic.model is NicModel.VIRTIO else 1
                plug = Plug(cable=Cable.TAP, side=side, port=tap_name(index, side), queues=queues)
            else:
                plug = Plug(cable=Cable.STREAM, side=side, port=str(sockets / f"{index}"))
            found[nic.ifname] = plug
    return found


def port_mac(machine: str, nic: Nic) -> str:
    """The address of the device that QEMU shows. An igb-vf gets its own address in the guest."""
    if nic.model is NicModel.IGB_VF:
        return derived_mac(machine, nic.ifname, "pf")
    return nic_mac(machine, nic)


def arguments(machine: MachineConfig, ends: dict[str, Plug]) -> Iterator[str]:
    """QEMU arguments for all data NICs of a machine."""
    for index, nic in enumerate(machine.nics):
        yield from ("-netdev", _json(_netdev(nic, ends[nic.ifname])))
        yield from ("-device", _json(_root_port(index)))
        yield from ("-device", _json(_device(machine, index, nic)))


def _netdev(nic: Nic, plug: Plug) -> dict[str, object]:
    common: dict[str, object] = {"id": f"net-{nic.ifname}", "type": plug.cable.value}
    if plug.cable is Cable.TAP:
        common |= {"ifname": plug.port, "script": "no", "downscript": "no", "vnet_hdr": False}
        return common | ({"queues": plug.queues} if plug.queues > 1 else {})
    common |= {"addr": {"type": "unix", "path": plug.port}, "server": plug.side == 0}
    return common if plug.side == 0 else common | {"reconnect-ms": RECONNECT_MS}


def _root_port(index: int) -> dict[str, object]:
    return {
        "driver": "pcie-root-port",
        "id": f"port{index}",
        "bus": "pcie.0",
        "addr": f"0x{FIRST_SLOT + index:x}",
        "chassis": FIRST_CHASSIS + index,
        "slot": 0,
    }


def _device(machine: MachineConfig, index: int, nic: Nic) -> dict[str, object]:
    device: dict[str, object] = {
        "driver": "igb",
        "id": f"nic-{nic.ifname}",
        "netdev": f"net-{nic.ifname}",
        "mac": port_mac(machine.name, nic),
        "bus": f"port{index}",
        "addr": "0x0",
    }
    if nic.model is NicModel.VIRTIO:
        device["driver"] = "virtio-net-pci"
        # Firmware has no business with a data NIC; the ring is as large as QEMU lets it be.
        device |= {"romfile": "", "rx_queue_size": 1024}
        if nic.queues > 1:
            # A vector for each RX and TX queue, one for control, one for configuration changes.
            # No rss=on: the tap already spreads flows over its queues, and with QEMU's own RSS on
            # a tap without offload headers most frames never reached the guest.
            device |= {"mq": True, "vectors": 2 * nic.queues + 2}
        if machine.viommu:
            device |= {"iommu_platform": True, "disable-legacy": "on"}
    return device


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
