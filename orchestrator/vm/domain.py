# SPDX-License-Identifier: Apache-2.0
"""A machine as libvirt wants it: domain XML from a template, the same text for the same input."""

import hashlib
import uuid
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from orchestrator.vm import links
from orchestrator.vm.model import Accelerator, MachineConfig, NicModel, Topology, derived_mac

MGMT_ADDRESS = "10.0.2.15"
MGMT_PREFIX = 24
MGMT_GATEWAY = "10.0.2.2"
FIRMWARE_KEYS = ("hostname", "authorized_keys", "ssh_host_ed25519_key", "mgmt", "links")
# The console carries everything from the first kernel message on; a panic ends the machine at
# once instead of waiting for a reboot; the last three save the emulated timer calibration.
KERNEL_ARGS = (
    "console=ttyS0",
    "root=/dev/vda",
    "panic=-1",
    "oops=panic",
    "net.ifnames=0",
    "quiet",
    "loglevel=4",
    "tsc=reliable",
    "no_timer_check",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one run keeps what belongs to a machine, and how it is reached: nothing here has a
    part in what the guest computes."""

    domain_name: str
    title: str
    emulator: str
    firmware: Path
    sockets: Path
    console_socket: Path
    console_log: Path
    ssh_port: int
    run_as: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    mode: str
    model: str = ""
    features: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """What the template shows, under the names it uses."""

    config: MachineConfig
    kind: str
    name: str
    uuid: str
    title: str
    emulator: str
    firmware: tuple[tuple[str, Path], ...]
    kernel_command_line: str
    cpu: Cpu
    mgmt_mac: str
    mgmt_address: str
    mgmt_prefix: int
    ssh_port: int
    console_socket: Path
    console_log: Path
    run_as: str
    qemu_arguments: tuple[str, ...]


def kernel_command_line(config: MachineConfig) -> str:
    iommu = ("intel_iommu=on", "iommu=pt") if config.viommu else ()
    return " ".join((*KERNEL_ARGS, *iommu, *config.kernel_args))


def firmware(
    topology: Topology, config: MachineConfig, authorized_key: str, host_key: str
) -> dict[str, str]:
    """The contents of the fw_cfg files from which the guest configures itself.

    The port of an igb-vf only gets its name here; its VF does not exist before the guest runs.
    """
    lines = []
    for nic in config.nics:
        mac = links.port_mac(config.name, nic)
        if nic.model is NicModel.IGB_VF:
            lines.append(f"{mac} {port_ifname(nic.ifname)} -")
        else:
            lines.append(f"{mac} {nic.ifname} {nic.address or '-'}")
    return {
        "hostname": f"{config.name}\n",
        "authorized_keys": authorized_key,
        "ssh_host_ed25519_key": host_key,
        "mgmt": f"{MGMT_ADDRESS}/{MGMT_PREFIX} {MGMT_GATEWAY}\n",
        "links": "".join(f"{line}\n" for line in lines),
    }


def port_ifname(ifname: str) -> str:
    """The name of the igb port that carries the VF `ifname`."""
    return f"{ifname}pf"


def cpu(config: MachineConfig) -> Cpu:
    """What libvirt calls the CPU: "max" and "host" are modes, all else is a named model."""
    base, *rest = config.cpu_model.split(",")
    features = tuple(
        ("disable" if word.startswith("-") else "require", word.lstrip("+-")) for word in rest
    )
    if base == "max":
        return Cpu(mode="maximum", features=features)
    if base == "host":
        return Cpu(mode="host-passthrough", features=features)
    return Cpu(mode="custom", model=base, features=features)


def render(topology: Topology, config: MachineConfig, place: Place) -> str:
    """The domain XML of one machine."""
    plugs = links.plugs(topology, config.name, place.sockets)
    document = _Document(
        config=config,
        kind="kvm" if config.accelerator is Accelerator.KVM else "qemu",
        name=place.domain_name,
        # The same in every run: libvirt restores a saved machine only under its own UUID.
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"ringbed:{place.domain_name}")),
        title=place.title,
        emulator=place.emulator,
        firmware=tuple((key, place.firmware / key) for key in FIRMWARE_KEYS),
        kernel_command_line=kernel_command_line(config),
        cpu=cpu(config),
        mgmt_mac=derived_mac(config.name, "mgmt"),
        mgmt_address=MGMT_ADDRESS,
        mgmt_prefix=MGMT_PREFIX,
        ssh_port=place.ssh_port,
        console_socket=place.console_socket,
        console_log=place.console_log,
        run_as="" if place.run_as is None else f"+{place.run_as[0]}:+{place.run_as[1]}",
        qemu_arguments=tuple(links.arguments(config, plugs)),
    )
    return _template().render(d=document) + "\n"


def fingerprint(topology: Topology, config: MachineConfig, contents: dict[str, str]) -> str:
    """A hash of all that decides how the guest looks once it has booted.

    Two runs of one topology agree on it although their paths and ports differ. `contents` is what
    `firmware` returned.
    """
    neutral = Place(
        domain_name=config.name,
        title="",
        emulator="qemu",
        firmware=Path("firmware"),
        sockets=Path("sockets"),
        console_socket=Path("console"),
        console_log=Path("log"),
        ssh_port=1,
    )
    boot = replace(config.boot, kernel=Path("kernel"), initrd=Path("initrd"), root=Path("root"))
    parts = [render(topology, replace(config, boot=boot), neutral), boot.image_id]
    parts += [f"{key}={contents[key]}" for key in FIRMWARE_KEYS]
    parts += [repr(nic) for nic in config.nics]
    parts += [repr(topology.link(nic.link)) for nic in config.nics]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("orchestrator.vm", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )
    return environment.get_template("domain.xml.j2")
