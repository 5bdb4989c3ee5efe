# SPDX-License-Identifier: Apache-2.0
"""Executes a trial's steps inside one sealed guest, where each machine is a network namespace.

`site` is the script that makes the machines, once and for all trials of a topology. `pack` writes
all that a trial needs into a tar, `unpack` reads what it left; between them the guest runs on its
own (images/guest/sealed, vm/sealed.py). The scripts are those that travel over ssh on the wall
clock.
"""

import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StepError
from orchestrator.steps import outcome, shell
from orchestrator.steps.model import Script, Step

PROGRAMS = "/opt/ringbed/bin"
_OUT = "/run/ringbed/trial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A NIC that the session hands to a machine. cpus: where the interrupts of its queues go, one
    after the other. commands: further settings, run beside the NIC in its machine. port_mac: of the
    igb port whose first virtual function the NIC is; empty for a device of its own."""

    mac: str
    device: str
    address: str
    queues: int
    cpus: tuple[int, ...]
    commands: tuple[tuple[str, ...], ...] = ()
    port_mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A network namespace and the CPUs whose processes live in it. taken: one of these takes the
    NICs from Linux."""

    name: str
    cpus: tuple[int, ...]
    nics: tuple[Nic, ...]
    taken: bool = False


def pack(
    machines: Sequence[Machine], script: Script, programs: Mapping[str, Path], *, then: str = ""
) -> bytes:
    """The session's input, a tar: the same bytes for the same arguments. then: shell that the
    session runs before teardown."""
    main, down = (*script.setup, *script.measure), script.teardown
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "session", session(machines, main, down, then).encode(), mode=0o755)
        for machine, nic in _functions(machines):
            _add(archive, f"function.{nic.device}", function(machine, nic).encode())
        for name, text in (*_scripts(main, "main"), *_scripts(down, "down")):
            _add(archive, name, text.encode())
        for name, path in sorted(programs.items()):
            _add(archive, f"bin/{name}", path.read_bytes(), mode=0o755)
    return buffer.getvalue()


def site(machines: Sequence[Machine]) -> str:
    """The script that makes the machines and their network, but for virtual functions, which no
    snapshot can hold."""
    parts = [_SITE]
    parts += [_namespace(machine) for machine in machines]
    parts += [_port(nic) for _, nic in _functions(machines)]
    for machine in machines:
        own = (nic for nic in machine.nics if not nic.port_mac)
        parts += [f"carrier {machine.name} {nic.device}\n" for nic in own]
    return "".join(parts)


def function(machine: Machine, nic: Nic) -> str:
    """The script that makes a virtual function and hands it to its machine, to be run on the first
    of its CPUs. Port and function interrupt that CPU, too: the two speak with each other, and no
    second CPU may have anything to do while QEMU tidies up behind a device that was moved.

    One that is going to be taken from Linux stays down. Up, Linux's driver says which interrupts
    the queues have, which QEMU keeps over the function's reset: each batch that the next driver
    sends would then interrupt its CPU.
    """
    cpu, port = nic.cpus[0], _port_name(nic)
    usual = [*_interface(machine.name, nic), f"carrier {machine.name} {nic.device}"]
    lines = [
        f"echo {1 << cpu:x} >/proc/irq/default_smp_affinity",
        f"/usr/lib/ringbed/sriov {port},{nic.mac},-,-",
        f"made=$(readlink /sys/class/net/{port}/device/virtfn0)",
        "settle",
        'echo "${made##*/}" >/sys/bus/pci/drivers/igbvf/bind',
        *(_handed(machine.name, nic) if machine.taken else usual),
        "settle",
    ]
    return _SITE + _SETTLE + "".join(f"{line}\n" for line in lines)


def session(
    machines: Sequence[Machine], main: Sequence[Step], down: Sequence[Step], then: str = ""
) -> str:
    """The program that the guest runs for a trial: its steps, and teardown in any case; between
    them what else is to be done."""
    parts = [_SESSION]
    cpus = {machine.name: ",".join(map(str, machine.cpus)) for machine in machines}
    for _, nic in _functions(machines):
        parts.append(f"taskset -c {nic.cpus[0]} sh ./function.{nic.device}\n")
    parts += ["broken=0\n"]
    for number, (name, _) in enumerate(outcome.groups(main)):
        parts.append(f'[ "$broken" = 1 ] || run main.{number:03} {name} {cpus[name]} || broken=1\n')
    parts.append(then)
    for number, (name, _) in enumerate(outcome.groups(down)):
        parts.append(f"run down.{number:03} {name} {cpus[name]} || :\n")
    return "".join(parts)


def unpack(script: Script, output: Path, into: Path) -> None:
    """Read the session's output; collected files go to the directory `into`.

    Raises StepError for the first step that failed, or when the session itself did.
    """
    files = _read(output)
    for name in ("session.log", "status"):
        (into / name).write_bytes(files.get(name, b""))
    status = files.get("status", b"").decode().strip()
    if status != "0":
        raise StepError(
            f"the session ended with status {status or 'unknown'}",
            details=files.get("session.log", b"").decode("utf-8", "replace")[-2000:],
            hint=f"{into / 'session.log'} has all that it said",
        )
    failure = _keep_all((*script.setup, *script.measure), "main", files, into)
    # Teardown brings the logs that say why: they are kept whatever happened before.
    later = _keep_all(script.teardown, "down", files, into)
    if first := failure or later:
        raise first


def read(output: Path, name: str) -> bytes:
    """A file that a session left. Raises StepError when there is none."""
    files = _read(output)
    if name not in files:
        said = files.get("session.log", b"").decode("utf-8", "replace")
        raise StepError(f"the session left no {name}", details=said[-2000:])
    return files[name]


def _keep_all(
    steps: Sequence[Step], phase: str, files: Mapping[str, bytes], into: Path
) -> StepError | None:
    for number, (machine, group) in enumerate(outcome.groups(steps)):
        said = files.get(f"{phase}.{number:03}", b"").decode("utf-8", "replace")
        try:
            outcome.keep(machine, group, said, into)
        except StepError as error:
            return error
    return None


def _scripts(steps: Sequence[Step], phase: str) -> Iterator[tuple[str, str]]:
    for number, (machine, group) in enumerate(outcome.groups(steps)):
        text = shell.script(group, f"{_OUT}/{machine}", keep_going=phase == "down")
        yield f"{phase}.{number:03}", text


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _read(output: Path) -> dict[str, bytes]:
    """The files in the output by name; none when the session wrote nothing that is whole."""
    found = {}
    try:
        with tarfile.open(output, "r:") as archive:
            for member in archive:
                data = archive.extractfile(member)
                if data is not None:
                    found[member.name.removeprefix("./")] = data.read()
    except tarfile.TarError:
        return {}
    return found


_SITE = f"""\
set -eu
trial={_OUT}
ip() {{ /usr/bin/ip "$@"; }}
fail() {{ echo "$*" >&2; exit 1; }}

# nic MAC: sets `found` to the interface with that address, and `bus` to what it is on its bus.
nic() {{
    for entry in /sys/class/net/*; do
        read -r own <"$entry/address"
        found=${{entry##*/}}
        [ "$own" = "$1" ] || continue
        bus=$(readlink "$entry/device")
        bus=${{bus##*/}}
        return 0
    done
    fail "no NIC has the address $1"
}}
inside() {{ name=$1; shift; nsenter --net="/run/netns/$name" -- "$@"; }}
# place DEVICE CPU...: queue i interrupts the i-th CPU. Both directions of a queue share an
# interrupt or have one each, as igb sees fit; those of virtio are named by the bus.
place() {{
    device=$1 queue=0
    shift
    for cpu; do
        placed=0
        for entry in /proc/irq/*/"$device-TxRx-$queue" /proc/irq/*/"$device"-[rt]x-"$queue" \
            /proc/irq/*/"$bus-input.$queue" /proc/irq/*/"$bus-output.$queue"; do
            [ -d "$entry" ] || continue
            echo "$cpu" >"${{entry%/*}}/smp_affinity_list"
            placed=1
        done
        [ "$placed" = 1 ] || fail "$device has no interrupt for queue $queue"
        queue=$((queue + 1))
    done
    for entry in /proc/irq/*/"$device-TxRx-$queue" /proc/irq/*/"$device-rx-$queue" \
        /proc/irq/*/"$bus-input.$queue"; do
        [ ! -d "$entry" ] || fail "$device has more queues than $queue"
    done
}}
up() {{
    tries=400
    until "$@" ip -o link show dev "$device" | grep -q LOWER_UP; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$device has no link after 20 s"
        sleep 0.05
    done
}}
carrier() {{ device=$2; up inside "$1"; }}
"""

# QEMU frees what described a device in a thread of its own, some time after the device has changed
# (stacks/device.py): let nothing else happen until then.
_SETTLE = """\
settle() {
    turn=0
    while [ "$turn" -lt 8000 ]; do turn=$((turn + 1)); done
}
"""

_SESSION = f"""\
set -eu
out=/run/ringbed/out
mkdir -p {PROGRAMS}
for program in "$PWD"/bin/*; do ln -s "$program" {PROGRAMS}/; done

# run SCRIPT MACHINE CPUS: false when a step failed.
run() {{
    nsenter --net="/run/netns/$2" -- taskset -c "$3" sh "./$1" >"$out/$1"
    ! grep -q '^@ringbed [0-9]* failed' "$out/$1"
}}
"""


def _namespace(machine: Machine) -> str:
    name = machine.name
    lines = [
        f"ip netns add {name}",
        f"mkdir -p $trial/{name}",
        f"ip -n {name} link set lo up",
    ]
    for nic in machine.nics:
        lines += [] if nic.port_mac else _interface(name, nic)
    return "".join(f"{line}\n" for line in lines)


def _handed(machine: str, nic: Nic) -> list[str]:
    """Commands that hand a NIC that there is to its machine."""
    return [f"nic {nic.mac}", f'ip link set "$found" name {nic.device} netns {machine}']


def _interface(machine: str, nic: Nic) -> list[str]:
    """The same, and Linux there uses it."""
    device = nic.device
    return [
        *_handed(machine, nic),
        f"inside {machine} ethtool -L {device} combined {nic.queues} || :",
        f"ip -n {machine} address add {nic.address} dev {device}",
        f"ip -n {machine} link set {device} up",
        f"place {device} {' '.join(map(str, _spread(nic)))}",
        *(f"inside {machine} {shlex.join(command)}" for command in nic.commands),
    ]


def _functions(machines: Iterable[Machine]) -> list[tuple[Machine, Nic]]:
    """The NICs that are virtual functions, with their machines."""
    return [(machine, nic) for machine in machines for nic in machine.nics if nic.port_mac]


def _port_name(nic: Nic) -> str:
    return f"{nic.device}pf"


def _port(nic: Nic) -> str:
    """The port of a virtual function, up: it stays with the guest itself, as does its driver."""
    name = _port_name(nic)
    lines = (
        "modprobe igbvf",
        f"nic {nic.port_mac}",
        f'ip link set "$found" name {name}',
        f"ip link set {name} up",
        f"for entry in /proc/irq/*/{name} /proc/irq/*/{name}-*; do",
        f'    [ ! -d "$entry" ] || echo {nic.cpus[0]} >"${{entry%/*}}/smp_affinity_list"',
        "done",
        f"device={name} && up",
    )
    return "".join(f"{line}\n" for line in lines)


def _spread(nic: Nic) -> Iterable[int]:
    return (nic.cpus[queue % len(nic.cpus)] for queue in range(nic.queues))
