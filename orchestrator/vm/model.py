# SPDX-License-Identifier: Apache-2.0
"""What a machine is: plain data, known before anything starts.

A `Topology` is all that decides how guests are built. Everything that differs between two runs of
the same topology (run token, socket paths, ssh ports) is kept out of it.
"""

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_interface
from pathlib import Path

from orchestrator.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
IFNAME = re.compile(r"[a-z][a-z0-9_.-]{0,11}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
IGB_QUEUES = 8
MIB = 1 << 20


class NicModel(StrEnum):
    """The device a data NIC is.

    IGB: physical function of an Intel 82576; RSS and all queues inside the model.
    IGB_VF: the first virtual function of an igb port of its own; made inside the guest.
    VIRTIO: virtio-net; more than one queue needs a tap device (see `vm.links`).
    """

    IGB = "igb"
    IGB_VF = "igb-vf"
    VIRTIO = "virtio"


class Accelerator(StrEnum):
    TCG = "tcg"
    KVM = "kvm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A data NIC. `link` names the Link it is plugged into; both ends name the same one.

    ifname: its name inside the guest, at most 12 characters ("pf" is appended for the port of an
    igb-vf). address: "10.1.0.1/24", or empty for a NIC that Linux does not use. mac: empty for
    one derived from machine and interface name. queues: RX/TX queue pairs Linux is to use.
    """

    ifname: str
    link: str
    model: NicModel = NicModel.IGB
    queues: int = 1
    address: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A point-to-point cable. The impairments apply to each direction.

    delay_ns: added one way. loss: share of frames dropped, 0 to 1. rate_bps: bits per second of
    the cable, 0 for as fast as the host emulates it.
    """

    name: str
    delay_ns: int = 0
    loss: float = 0.0
    rate_bps: int = 0

    @property
    def impaired(self) -> bool:
        return bool(self.delay_ns or self.loss or self.rate_bps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the guest boots. `image_id` identifies its bytes (the image's content hash)."""

    kernel: Path
    initrd: Path
    root: Path
    image_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """One guest. kernel_args are appended to the ones every guest gets.

    cpu_model: "max" (all that the accelerator offers), "host" (KVM only), or a QEMU model name
    with optional features, such as "Skylake-Server,-hle". viommu: an emulated Intel IOMMU with
    interrupt remapping, as vfio-pci needs it.
    """

    name: str
    cpus: int
    memory_bytes: int
    boot: Boot
    kernel_args: tuple[str, ...] = ()
    nics: tuple[Nic, ...] = ()
    viommu: bool = False
    accelerator: Accelerator = Accelerator.TCG
    cpu_model: str = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Machines and the links between their NICs."""

    machines: tuple[MachineConfig, ...]
    links: tuple[Link, ...] = field(default=())

    def machine(self, name: str) -> MachineConfig:
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise UsageError(f"there is no machine {name}")

    def link(self, name: str) -> Link:
        for link in self.links:
            if link.name == name:
                return link
        raise UsageError(f"there is no link {name}")

    def ends(self, link: str) -> tuple[tuple[str, Nic], tuple[str, Nic]]:
        """The two (machine name, NIC) pairs of a link, in the order of `machines`."""
        found = [(m.name, nic) for m in self.machines for nic in m.nics if nic.link == link]
        if len(found) != 2:
            raise UsageError(
                f"link {link} has {len(found)} end{'' if len(found) == 1 else 's'}",
                hint="a link joins exactly two NICs",
            )
        return found[0], found[1]

    def check(self) -> None:
        """Raise UsageError for the first thing that cannot be built."""
        _unique("machine", [machine.name for machine in self.machines])
        _unique("link", [link.name for link in self.links])
        for machine in self.machines:
            _check_machine(machine)
            for nic in machine.nics:
                self.link(nic.link)
        for link in self.links:
            self.ends(link.name)
            _check_link(link)


def nic_mac(machine: str, nic: Nic) -> str:
    """The NIC's address: the one asked for, or a stable locally administered one."""
    return nic.mac or derived_mac(machine, nic.ifname)


def derived_mac(*parts: str) -> str:
    """A locally administered unicast address that depends on nothing but `parts`."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def _unique(kind: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two {kind}s are named {name}")


def _check_machine(machine: MachineConfig) -> None:
    if not NAME.fullmatch(machine.name):
        raise UsageError(
            f"{machine.name!r} cannot name a machine",
            hint="lower-case letters, digits and hyphens, at most 32",
        )
    if machine.cpus < 1:
        raise UsageError(f"{machine.name} has {machine.cpus} cpus", hint="at least 1")
    if machine.memory_bytes < 256 * MIB:
        raise UsageError(
            f"{machine.name} has {machine.memory_bytes / MIB:.0f} MiB of memory",
            hint="the guest image needs at least 256 MiB",
        )
    if machine.memory_bytes % MIB:
        raise UsageError(f"the memory of {machine.name} is not a whole number of MiB")
    if machine.cpu_model == "host" and machine.accelerator is not Accelerator.KVM:
        raise UsageError(f"cpu model host of {machine.name} needs KVM", hint='use "max"')
    _unique(f"NIC of {machine.name}", [nic.ifname for nic in machine.nics])
    _unique(f"NIC address of {machine.name}", [nic_mac(machine.name, n) for n in machine.nics])
    for nic in machine.nics:
        _check_nic(machine, nic)


def _check_nic(machine: MachineConfig, nic: Nic) -> None:
    where = f"NIC {nic.ifname} of {machine.name}"
    if not IFNAME.fullmatch(nic.ifname) or nic.ifname in ("lo", "mgmt0"):
        raise UsageError(f"{nic.ifname!r} cannot name a NIC", hint='for example "data0"')
    if nic.mac and (not MAC.fullmatch(nic.mac) or int(nic.mac[:2], 16) & 1):
        raise UsageError(
            f"{where}: {nic.mac!r} is no unicast address", hint='for example "52:54:00:00:00:01"'
        )
    if nic.address:
        try:
            ip_interface(nic.address)
        except ValueError as error:
            raise UsageError(f"{where}: {error}", hint='for example "10.1.0.1/24"') from error
    limit, reason = {
        NicModel.IGB: (
            min(machine.cpus, IGB_QUEUES),
            f"Linux' igb uses at most one queue per CPU, and {IGB_QUEUES}",
        ),
        NicModel.IGB_VF: (1, "Linux' igbvf has one queue (DPDK has two)"),
        NicModel.VIRTIO: (machine.cpus, "virtio-net uses at most one queue per CPU"),
    }[nic.model]
    if not 1 <= nic.queues <= limit:
        raise UsageError(f"{where} has {nic.queues} queues; 1 to {limit} work", hint=reason)


def _check_link(link: Link) -> None:
    if link.delay_ns < 0 or link.rate_bps < 0 or not 0 <= link.loss < 1:
        raise UsageError(
            f"link {link.name}: delay and rate are not negative, loss is from 0 to below 1"
        )
