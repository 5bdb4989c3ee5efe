# SPDX-License-Identifier: Apache-2.0
"""What is done to the NICs inside a running guest: queues, virtual functions, impairments.

`base_commands` may run before a snapshot is taken, `vf_script` only after it has been restored,
because QEMU's igb keeps no migration state for VFs. `facts` reads back what is really there.
"""

import shlex
from dataclasses import dataclass

from orchestrator.errors import MachineError
from orchestrator.vm.domain import port_ifname
from orchestrator.vm.machine import Machine
from orchestrator.vm.model import Link, MachineConfig, Nic, NicModel, Topology, nic_mac

type Command = tuple[str, ...]

# Frames that netem holds back: 200 ms of a gigabit at the smallest frame. The default of 1000 would
# drop frames that only wait, and look like a slower link.
NETEM_LIMIT = 300_000
# The largest ring that igb and igbvf have. With the default of 256, a guest whose vCPU the host
# does not run for some milliseconds loses frames, and TCP shows the host's timeouts instead.
RX_RING = 4096
CARRIER_S = 20.0
# The role sriov puts it into the image. How QEMU's igb wants its VFs made is written there, once.
SRIOV = "/usr/lib/ringbed/sriov"
VF_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NicFacts:
    """A NIC as the guest sees it. queues: RX queues in use. rx_ring: descriptors of each. qdisc:
    the root queueing discipline with its parameters as tc prints them."""

    ifname: str
    driver: str
    mac: str
    queues: int
    rx_ring: int
    up: bool
    qdisc: str


def base_commands(topology: Topology, config: MachineConfig) -> list[Command]:
    """Commands to run once the guest is up: queue counts, and impairments of its links.

    A VF does not exist yet; what concerns it is in `vf_script`.
    """
    commands: list[Command] = []
    for nic in config.nics:
        if nic.model is not NicModel.IGB_VF:
            commands += nic_commands(nic, topology.link(nic.link))
    return commands


def nic_commands(nic: Nic, link: Link) -> list[Command]:
    """What concerns one NIC that exists. The rings of virtio are set where the device is made."""
    commands: list[Command] = []
    if nic.model is not NicModel.IGB_VF:
        commands.append(("ethtool", "-L", nic.ifname, "combined", str(nic.queues)))
    if nic.model is not NicModel.VIRTIO:
        commands.append(("ethtool", "-G", nic.ifname, "rx", str(RX_RING)))
    if link.impaired:
        commands.append(netem(nic.ifname, link))
    return commands


def netem(ifname: str, link: Link) -> Command:
    """The command that impairs what leaves by `ifname`; the other end does the other direction."""
    words = ["tc", "qdisc", "replace", "dev", ifname, "root", "netem", "limit", str(NETEM_LIMIT)]
    if link.delay_ns:
        words += ["delay", f"{link.delay_ns}ns"]
    if link.loss:
        words += ["loss", f"{link.loss * 100:.6f}%"]
    if link.rate_bps:
        words += ["rate", f"{link.rate_bps}bit"]
    return tuple(words)


def vf_script(machine: str, nic: Nic, link: Link) -> str:
    """A shell script that makes the first VF of the NIC's port and gives it name and address."""
    word = ",".join(
        (port_ifname(nic.ifname), nic_mac(machine, nic), nic.ifname, nic.address or "-")
    )
    commands = [(SRIOV, word), *nic_commands(nic, link)]
    return "\n".join([_AWAIT, *map(shlex.join, commands), _await_carriers([nic.ifname])])


def _await_carriers(ifnames: list[str]) -> str:
    """Changing queues or rings restarts a NIC; traffic before it has a link again is lost."""
    return "\n".join(f"await 'has_carrier {shlex.quote(name)} 2>/dev/null'" for name in ifnames)


_AWAIT = r"""set -e
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 400 ] || { echo "waited in vain for: $1" >&2; exit 1; }
        sleep 0.05
    done
}
has_carrier() { read -r carrier <"/sys/class/net/$1/carrier" && [ "$carrier" = 1 ]; }
"""


def configure(machine: Machine) -> None:
    """Run `base_commands` in a guest that is ready."""
    commands = base_commands(machine.topology, machine.config)
    if commands:
        names = [n.ifname for n in machine.config.nics if n.model is not NicModel.IGB_VF]
        lines = [_AWAIT, *map(shlex.join, commands), _await_carriers(names)]
        machine.run("\n".join(lines), deadline_s=CARRIER_S)


def make_vfs(machine: Machine) -> None:
    """Make the VFs that the machine's definition asks for, in a guest that is ready."""
    for nic in machine.config.nics:
        if nic.model is NicModel.IGB_VF:
            script = vf_script(machine.name, nic, machine.topology.link(nic.link))
            machine.run(script, deadline_s=VF_DEADLINE_S)


def facts(machine: Machine) -> tuple[NicFacts, ...]:
    """The data NICs of a running guest, read back from it."""
    names = [nic.ifname for nic in machine.config.nics]
    if not names:
        return ()
    output = machine.run(f"set -- {shlex.join(names)}\n{_READ_BACK}")
    found = tuple(_fact(line) for line in output.splitlines())
    if [fact.ifname for fact in found] != names:
        raise MachineError(
            f"{machine.name}: the NICs cannot be read back", machine=machine.name, details=output
        )
    return found


_READ_BACK = r"""for nic in "$@"; do
    here=/sys/class/net/$nic
    driver=$(readlink "$here/device/driver")
    read -r mac <"$here/address"
    read -r carrier <"$here/carrier"
    queues=0
    for queue in "$here"/queues/rx-*; do queues=$((queues + 1)); done
    ring=$(ethtool -g "$nic" | awk '/^RX:/ { ring = $2 } END { print ring }')
    qdisc=$(tc qdisc show dev "$nic" root | head -n 1)
    echo "$nic|${driver##*/}|$mac|$queues|$ring|$carrier|$qdisc"
done
"""


def _fact(line: str) -> NicFacts:
    ifname, driver, mac, queues, ring, carrier, qdisc = line.split("|", 6)
    return NicFacts(
        ifname=ifname,
        driver=driver,
        mac=mac,
        queues=int(queues),
        rx_ring=int(ring),
        up=carrier == "1",
        qdisc=qdisc.strip(),
    )
