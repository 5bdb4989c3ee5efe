# SPDX-License-Identifier: Apache-2.0
"""The guests of one topology, up and ready to take trials."""

import io
import logging
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.errors import DeadlineError, MachineError, ProvisionError, StepError
from orchestrator.host.owned import new_token
from orchestrator.log import step
from orchestrator.provision import Interface, Login, Settings, configure_machines
from orchestrator.run import compose, placement
from orchestrator.run.plan import Trial
from orchestrator.run.supplies import Outlook, Supplies
from orchestrator.spec import topology as spec
from orchestrator.spec.model import LINUX_MAX_QUEUES
from orchestrator.stacks import device
from orchestrator.stacks.base import BIN
from orchestrator.steps.ssh import Guest, SshExecutor
from orchestrator.vm import model as vm
from orchestrator.vm.group import Group
from orchestrator.vm.hypervisor import Hypervisor, HypervisorOptions
from orchestrator.vm.keys import GUEST_ALIAS, guest_keys
from orchestrator.vm.machine import Machine

logger = logging.getLogger(__name__)

UP_DEADLINE_S = 180.0
PROBE_DEADLINE_S = 30.0
PLAYBOOK_DEADLINE_S = 120.0


class Testbed:
    """One set of guests. `slot` counts from 1; several slots take trials at the same time.

    traces: texts of the experiment's trace files, by the names it has for them. came_up: told
    whenever the guests are ready, for the first time or anew.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        topology: spec.Topology,
        supplies: Supplies,
        directory: Path,
        slot: int = 1,
        traces: Mapping[str, str] | None = None,
        came_up: Callable[["Testbed"], None] | None = None,
    ) -> None:
        self.topology = topology
        self._traces = traces or {}
        self._came_up = came_up
        self._supplies = supplies
        self._directory = directory
        self._hypervisor = hypervisor
        self._scratch = hypervisor.state_directory
        self._names = {node.name: _slot_name(node.name, slot) for node in topology.nodes}
        self._group: Group = hypervisor.define(
            vm_topology(topology, supplies, self._names), directory
        )
        self._executor: SshExecutor | None = None
        self._given_up = threading.Event()
        self.readback: Mapping[str, Any] = {}

    @property
    def machines(self) -> dict[str, Machine]:
        """The guests by their name in the experiment."""
        return {name: self._group[inner] for name, inner in self._names.items()}

    def up(self) -> None:
        """Start the guests, copy the programs in and tune them. Raises MachineError, StepError,
        or ProvisionError."""
        with step(f"guests {', '.join(self._names.values())}"):
            self._group.up(deadline_s=UP_DEADLINE_S)
        with step("programs and tuning"):
            programs = _pack(self._supplies.binaries)
            for machine in self.machines.values():
                _install(machine, programs)
            self._tune()
        self._executor = SshExecutor(
            {
                name: Guest(
                    connection=machine.ssh(),
                    alive=self._alive(machine),
                    console=machine.console_tail,
                )
                for name, machine in self.machines.items()
            }
        )
        if self._came_up is not None:
            self._came_up(self)

    def _tune(self) -> None:
        """Run-time settings by the playbook; what the guests then really have is kept."""
        keys = guest_keys()
        wanted = {}
        for node in self.topology.nodes:
            machine = self.machines[node.name]
            login = Login(
                port=machine.ssh_port,
                key=keys.user,
                known_hosts=keys.known_hosts,
                host_alias=GUEST_ALIAS,
            )
            wanted[node.name] = (login, tuning(node))
        try:
            self.readback = configure_machines(
                wanted,
                deadline_s=PLAYBOOK_DEADLINE_S,
                log=self._directory / "playbook.log",
                # Whoever sweeps up after a kill looks there.
                scratch=self._scratch,
            )
        except (ProvisionError, DeadlineError) as error:
            for machine in self.machines.values():
                machine.check()
                error.details += f"\n--- last console lines of {machine.name} ---\n"
                error.details += machine.console_tail()
            raise

    def execute(self, trial: Trial, into: Path) -> None:
        """Run a trial and write its raw files. Raises StepError or MachineError."""
        if self._executor is None:
            raise RuntimeError("the testbed is not up")
        trace = trial.workload.trace
        text = "" if trace is None else self._traces[trace.file]
        self._executor.execute(compose.script(trial, self.topology, text), into)
        compose.finish(trial, self.topology, into)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each guest, by its name; what it really has was read back."""
        found = {}
        for node in self.topology.nodes:
            machine = self.machines[node.name]
            boot = machine.boot
            found[machine.name] = {
                "role": node.role,
                "domain_xml": machine.domain_xml,
                "readback": self.readback.get(node.name, {}),
                "boot": None if boot is None else {"how": boot.how, "seconds": boot.seconds},
                "qemu_argv": machine.argv(),
            }
        return found

    def renew(self) -> None:
        """After a failed trial, which may have left NICs with other drivers than Linux's: start the
        guests anew unless all of them are well."""
        try:
            for machine in self.machines.values():
                machine.check()
                machine.run(list(device.BACK), deadline_s=PROBE_DEADLINE_S)
        except (MachineError, StepError) as error:
            logger.warning("starting the guests anew: %s", error.message)
            self.down()
            self.up()

    def give_up(self) -> None:
        """Make a trial under way in another thread end soon."""
        self._given_up.set()

    def down(self) -> None:
        self._group.destroy()

    def close(self) -> None:
        """End the guests for good; another testbed may use their names."""
        self._hypervisor.release(self._group)

    def _alive(self, machine: Machine) -> Any:
        def check() -> None:
            machine.check()
            if self._given_up.is_set():
                raise MachineError(f"{machine.name}: the run ends", machine=machine.name)

        return check


def open_hypervisor(connect: str) -> Hypervisor:
    """The place where this run's guests live, under a token of its own; a context manager."""
    return Hypervisor(new_token(), HypervisorOptions(connect=connect, state=paths.state()))


def tuning(node: spec.Node) -> Settings:
    """What every guest gets before its first trial: its queues, each interrupting its own CPU."""
    return Settings(
        interfaces=[
            Interface(name=port.ifname, queues=_settable(port), rx_usecs=port.rx_usecs)
            for port in node.ports
        ],
        spread_irqs=True,
    )


def _settable(port: spec.Port) -> int | None:
    """A driver that knows one queue only has no number of queues to set."""
    return port.queues if LINUX_MAX_QUEUES[port.nic] > 1 else None


def vm_topology(
    topology: spec.Topology, supplies: Supplies | Outlook, names: Mapping[str, str] | None = None
) -> vm.Topology:
    """The machines to build; `names` renames them."""
    named = names or {node.name: node.name for node in topology.nodes}
    image = supplies.image
    boot = vm.Boot(kernel=image.kernel, initrd=image.initrd, root=image.root, image_id=image.hash)
    machines = tuple(
        vm.MachineConfig(
            name=named[node.name],
            cpus=node.cpus,
            memory_bytes=node.memory_bytes,
            boot=boot,
            nics=tuple(_nic(port) for port in node.ports),
            viommu=node.viommu,
            kernel_args=tuple(topology.kernel_args.split()),
            accelerator=vm.Accelerator(supplies.accelerator.kind),
        )
        for node in topology.nodes
    )
    links = tuple(
        vm.Link(
            name=f"link{cable.index}",
            delay_ns=cable.delay_ns,
            loss=cable.loss,
            rate_bps=cable.rate_bps,
        )
        for cable in topology.cables
    )
    return vm.Topology(machines=machines, links=links)


def _nic(port: spec.Port) -> vm.Nic:
    return vm.Nic(
        ifname=port.ifname,
        link=f"link{port.link}",
        model=vm.NicModel(port.nic),
        queues=placement.linux_queues(port),
        address=port.cidr(),
        mac=port.mac,
    )


def _slot_name(name: str, slot: int) -> str:
    return name if slot == 1 else f"{name}-{slot}"


def _pack(binaries: Path) -> bytes:
    """The executables as a tar with names only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(binaries.iterdir()):
            archive.add(path, arcname=path.name)
    return buffer.getvalue()


def _install(machine: Machine, programs: bytes) -> None:
    archive = "/run/ringbed/programs.tar.gz"
    machine.put(programs, archive)
    machine.run(f"mkdir -p {BIN} && tar -xzf {archive} -C {BIN} && rm {archive}")
