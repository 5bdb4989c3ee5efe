# SPDX-License-Identifier: Apache-2.0
"""The one sealed guest of a topology on the virtual clock: each trial starts it from its snapshot,
so that no trial knows of another."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import StepError
from orchestrator.host.owned import OwnedDirectory
from orchestrator.log import step
from orchestrator.run import compose, instructions, placement
from orchestrator.run.cases import OWN_GENERATOR
from orchestrator.run.plan import Trial
from orchestrator.run.supplies import Outlook, Supplies
from orchestrator.spec.topology import Node, Topology
from orchestrator.spec.topology import Port as PortSpec
from orchestrator.steps import sealed
from orchestrator.steps.model import Script
from orchestrator.vm import guest
from orchestrator.vm.model import MIB, Boot, Link, NicModel, derived_mac
from orchestrator.vm.sealed import NO_FAST_STRINGS, Files, Port, SealedConfig, SealedMachine, argv
from orchestrator.vm.snapshots import SnapshotCache

# Of wall time, for a trial: emulation runs at some 50 million instructions per second.
TRIAL_S = 900.0
# A plugin that sees every block of code makes a trial take some three times as long.
WATCHED_TRIAL_S = 4 * TRIAL_S
PAGE = 4096
GUEST = "guest"
# The vDSO is Linux's code in every program; Linux adapts it to the CPU, so no file has it.
_SYMBOLS = """\
cat /proc/kallsyms >$out/kallsyms
place=$(grep -F '[vdso]' /proc/$$/maps)
begin=$((0x${place%%-*} / 4096))
rest=${place#*-}
end=$((0x${rest%% *} / 4096))
dd if=/proc/$$/mem bs=4096 skip=$begin count=$((end - begin)) of=$out/vdso
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """kallsyms: /proc/kallsyms of a guest. vdso: the ELF file that Linux maps into programs."""

    kallsyms: str
    vdso: bytes


class SealedTestbed:
    """Takes trials one at a time. Arguments as of `run.testbed.Testbed`; state: where files of
    this run live that are gone after it."""

    def __init__(
        self,
        topology: Topology,
        supplies: Supplies,
        directory: Path,
        *,
        state: OwnedDirectory,
        slot: int = 1,
        traces: Mapping[str, str] | None = None,
        came_up: Callable[["SealedTestbed"], None] | None = None,
    ) -> None:
        self.topology = topology
        self._supplies = supplies
        self._directory = directory / (GUEST if slot == 1 else f"{GUEST}-{slot}")
        self._state = state.path
        self._traces = traces or {}
        self._came_up = came_up
        self._began = 0.0
        assert supplies.turns is not None
        self._machine = SealedMachine(
            self._directory.name,
            sealed_config(topology, supplies),
            tools=f"{supplies.tools.hash} {supplies.turns.hash}",
            turns=supplies.turns.path,
            token=state.token,
            cache=SnapshotCache(),
        )

    def up(self) -> None:
        """Make sure that there is a snapshot to start from. Raises MachineError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        with step("guest"), tempfile.TemporaryDirectory(dir=self._state) as scratch:
            self._machine.snapshot(self._files(Path(scratch), self._directory))
        self._began = time.monotonic() - begin
        if self._came_up is not None:
            self._came_up(self)

    def execute(self, trial: Trial, into: Path, *, plugins: tuple[str, ...] = ()) -> None:
        """Run a trial and write its raw files. Raises StepError or MachineError.

        plugins: QEMU's arguments for further plugins; they change nothing of those files.
        """
        script = self._script(trial)
        with tempfile.TemporaryDirectory(dir=self._state) as scratch:
            counts = Path(scratch) / "counts.json"
            files = replace(
                self._files(Path(scratch), into),
                plugins=(f"{self._supplies.plugin},out={counts}", *plugins),
            )
            self._fill(files, trial, script)
            self._machine.run(files, deadline_s=deadline_s(plugins))
            sealed.unpack(script, files.output, into)
            marked = trial.generator == OWN_GENERATOR
            polling = compose.polling_machine(trial, self.topology)
            instructions.keep(counts, self.topology, into, marked=marked, polling=polling)
        compose.finish(trial, self.topology, into)

    def symbols(self, trial: Trial) -> Symbols:
        """What the guest says once a trial is set up, with the modules that this loads. Raises
        MachineError or StepError."""
        script = replace(self._script(trial), measure=(), teardown=())
        with tempfile.TemporaryDirectory(dir=self._state) as scratch:
            files = self._files(Path(scratch), Path(scratch))
            self._fill(files, trial, script, then=_SYMBOLS)
            self._machine.run(files, deadline_s=TRIAL_S)
            sealed.unpack(script, files.output, Path(scratch))
            return Symbols(
                kallsyms=sealed.read(files.output, "kallsyms").decode("ascii"),
                vdso=sealed.read(files.output, "vdso"),
            )

    def renew(self) -> None:
        """Nothing is to be done: every trial has a guest of its own."""

    def give_up(self) -> None:
        """Make a trial under way in another thread end soon."""
        self._machine.give_up()

    def close(self) -> None:
        """Nothing outlives a trial."""

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of the guest, by its name."""
        with tempfile.TemporaryDirectory(dir=self._state) as scratch:
            words = argv(self._machine.config, self._files(Path(scratch), self._directory))
        return {
            self._directory.name: {
                "role": None,
                "qemu_argv": words,
                "boot": {"how": "snapshot", "seconds": round(self._began, 3)},
                "readback": {},
            }
        }

    def _script(self, trial: Trial) -> Script:
        trace = trial.workload.trace
        text = "" if trace is None else self._traces[trace.file]
        return compose.script(trial, self.topology, text)

    def _fill(self, files: Files, trial: Trial, script: Script, *, then: str = "") -> None:
        programs = {path.name: path for path in self._supplies.binaries.iterdir()}
        taken = {self.topology.node(role).name for role in compose.taken(trial)}
        machines = [
            replace(machine, taken=machine.name in taken)
            for machine in session_machines(self.topology)
        ]
        archive = sealed.pack(machines, script, programs, then=then)
        _fill(files.input, archive, self._machine.config.input_bytes)

    def _files(self, scratch: Path, logs: Path) -> Files:
        files = _files(scratch, console=logs / "console.log", log=self._directory / "qemu.log")
        config = self._machine.config
        for path, size in ((files.input, config.input_bytes), (files.output, config.output_bytes)):
            with path.open("wb") as file:
                file.truncate(size)
        return files


def deadline_s(plugins: tuple[str, ...]) -> float:
    """Of wall time, for a trial that these plugins watch beside the one that counts."""
    return WATCHED_TRIAL_S if plugins else TRIAL_S


def _files(scratch: Path, *, console: Path, log: Path) -> Files:
    return Files(
        site=scratch / "site",
        input=scratch / "input",
        output=scratch / "output",
        console=console,
        log=log,
    )


def command_line(topology: Topology, supplies: Outlook, directory: Path) -> list[str]:
    """QEMU's words for a cold boot of a topology, as a plan shows them."""
    guest_directory = directory / GUEST
    files = _files(
        guest_directory, console=guest_directory / "console.log", log=guest_directory / "qemu.log"
    )
    return argv(sealed_config(topology, supplies), files)


def _fill(path: Path, archive: bytes, room: int) -> None:
    """Write the input as the guest reads it: a page that says how many follow, and those."""
    pages = -(-len(archive) // PAGE)
    if (pages + 1) * PAGE > room:
        raise StepError(
            f"the trial's input takes {len(archive) // MIB} MiB of {room // MIB} MiB",
            hint="a shorter trace of arrivals fits",
        )
    with path.open("wb") as file:
        file.write(f"{pages}\n".encode().ljust(PAGE, b"\0"))
        file.write(archive)
        file.truncate(room)


def sealed_config(topology: Topology, supplies: Supplies | Outlook) -> SealedConfig:
    """The guest that holds all machines of a topology; the two ends of a cable share a hub."""
    image = supplies.image
    return SealedConfig(
        cpus=1 + sum(node.cpus for node in topology.nodes),
        memory_bytes=placement.HOUSE_BYTES + sum(node.memory_bytes for node in topology.nodes),
        boot=Boot(kernel=image.kernel, initrd=image.initrd, root=image.root, image_id=image.hash),
        site=sealed.site(session_machines(topology)),
        kernel_args=tuple(topology.kernel_args.split()),
        cpu_flags=() if topology.fast_strings else NO_FAST_STRINGS,
        ports=tuple(
            Port(mac=_device_mac(port), hub=cable.index, model=NicModel(port.nic))
            for cable in topology.cables
            for port in cable.ports
        ),
        viommu=any(node.viommu for node in topology.nodes),
    )


def _device_mac(port: PortSpec) -> str:
    """Of the device that QEMU has: a virtual function's port has an address of its own."""
    own = derived_mac(port.machine, port.ifname, "pf")
    return own if port.nic == "igb-vf" else port.mac


def session_machines(topology: Topology) -> list[sealed.Machine]:
    """The machines of a topology as the session makes them."""
    return [_session_machine(topology, node) for node in topology.nodes]


def _session_machine(topology: Topology, node: Node) -> sealed.Machine:
    cpus = placement.cpus(topology, node, "virtual")
    nics = []
    for port in node.ports:
        device = placement.device(topology, port, "virtual")
        cable = topology.cables[port.link]
        link = Link(name=device, delay_ns=cable.delay_ns, loss=cable.loss, rate_bps=cable.rate_bps)
        nics.append(
            sealed.Nic(
                mac=port.mac,
                device=device,
                address=port.cidr(),
                queues=placement.linux_queues(port),
                cpus=cpus,
                port_mac=_device_mac(port) if port.nic == "igb-vf" else "",
                commands=tuple(_settings(port, device, link)),
            )
        )
    return sealed.Machine(name=node.name, cpus=cpus, nics=tuple(nics))


def _settings(port: PortSpec, device: str, link: Link) -> Iterator[tuple[str, ...]]:
    if port.rx_usecs is not None:
        yield ("ethtool", "-C", device, "rx-usecs", str(port.rx_usecs))
    if link.impaired:
        yield guest.netem(device, link)
