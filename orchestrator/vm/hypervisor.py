# SPDX-License-Identifier: Apache-2.0
"""A libvirt connection and the state directory of one run: the place where its machines live."""

import hashlib
import logging
import os
import platform
import pwd
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from orchestrator.errors import HostError, Interrupted, RingbedError, UsageError
from orchestrator.host.ports import PortLease, lease_port
from orchestrator.process import deferred_signals
from orchestrator.vm import connection as libvirt_connection
from orchestrator.vm import lease as leases
from orchestrator.vm import links, netns
from orchestrator.vm.connection import EMBED, libvirt_module
from orchestrator.vm.files import Files, LocalFiles
from orchestrator.vm.group import Group, destroy_all
from orchestrator.vm.keys import guest_keys
from orchestrator.vm.machine import Machine, Services
from orchestrator.vm.model import MIB, Accelerator, NicModel, Topology
from orchestrator.vm.remote import RemoteFiles, is_remote
from orchestrator.vm.slots import Amount, SlotLease, lease_slot
from orchestrator.vm.state import RunState

logger = logging.getLogger(__name__)

QEMU = "qemu-system-x86_64"
# libvirt counts 10.0.3 as 10000003. Before, VFs of QEMU's igb never reached their device.
FIRST_QEMU_WITH_VFS = 10_000_003


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervisorOptions:
    """Where and with what machines run.

    connect: "embed" for libvirt's driver inside this process, or the URI of a daemon
    ("qemu:///system", "qemu+ssh://user@host/system"). emulator: a path; empty for the QEMU that
    comes first in PATH (embed) or that the daemon prefers. state: the directory of all state
    directories; None for the usual one. lease_port: reserves a TCP port of 127.0.0.1.
    """

    connect: str = EMBED
    emulator: str = ""
    state: Path | None = None
    lease_port: Callable[[], PortLease] = lease_port


class Hypervisor:
    """The machines of one run; a context manager.

    Leaving the context ends all guests and removes everything that belonged to them, unless
    `lease` handed them over. A process can have one "embed" hypervisor in its life.
    """

    def __init__(self, token: str, options: HypervisorOptions) -> None:
        self.token = token
        self.options = options
        self._state = RunState(token, options.connect, options.state)
        self._stack = ExitStack()
        self._connection: Any = None
        self._machines: list[Machine] = []
        self._leased = False

    def __enter__(self) -> "Hypervisor":
        with ExitStack() as stack:
            with deferred_signals():
                stack.enter_context(self._state)
                self._connection = self._open()
                stack.callback(self._close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with deferred_signals():
                self._leave()
        except Interrupted:
            # It may have come before signals were deferred; no second one will come.
            self._leave()
            raise

    def _leave(self) -> None:
        """Doing it twice does no harm."""
        if not self._leased:
            self._stack.callback(self._destroy_all)
        self._stack.close()

    @property
    def embedded(self) -> bool:
        return self.options.connect == EMBED

    @property
    def state_directory(self) -> Path:
        return self._state.path

    def lease_slot(self, cores: int, memory_bytes: int, log: Path) -> SlotLease | None:
        """Lease cores and memory of the host; None when too many of them are leased already.

        Who wants more cores than there are gets them all. Raises HostError when the host has less
        memory than that, or cannot be asked.
        """
        with libvirt_connection.mapped(f"{self.options.connect} does not say what its host has"):
            _, mib, cpus, *_ = self._connection.getInfo()
        whole = Amount(cores=cpus, mib=mib)
        wanted = Amount(cores=min(cores, cpus), mib=-(-memory_bytes // MIB))
        if not wanted.fits(whole):
            raise HostError(
                f"the guests need {wanted.mib} MiB of memory, "
                f"the host of {self.options.connect} has {mib} MiB",
                hint="give less: --set machines.server.memory=512MiB",
            )
        return lease_slot(self.options.connect, wanted, whole, log)

    def define(self, topology: Topology, directory: Path) -> Group:
        """Make the machines of a topology, without starting anything.

        May be called again for more groups, whose machines have other names. directory: receives
        a directory for each machine with its console log and definition. Raises UsageError when
        the topology cannot be built, HostError when this host cannot.
        """
        topology.check()
        taken = {machine.name for machine in self._machines}
        for config in topology.machines:
            if config.name in taken:
                raise UsageError(f"this hypervisor already has a machine {config.name}")
        self._check_support(topology)
        place = self._state.new_group()
        emulator = self._enter_namespace(topology, place)
        # Of this group only: a failure here is no reason for another group to give up.
        cancelled = threading.Event()
        services = self._services(self._files(place), emulator, cancelled)
        machines = [
            Machine(services, topology, config, directory.resolve() / config.name)
            for config in topology.machines
        ]
        self._machines += machines
        return Group(
            topology=topology,
            machines=tuple(machines),
            token=self.token,
            platform=self.platform(topology),
            can_snapshot=self.embedded,
            cancelled=cancelled,
        )

    def release(self, group: Group) -> None:
        """End a group's guests and forget them: their names may be defined again."""
        group.destroy()
        self._machines = [machine for machine in self._machines if machine not in group.machines]

    def lease(self, purpose: str) -> leases.Lease:
        """Hand the running machines to a lease: they outlive this context and this process.

        Raises MachineError when one of them is not usable, UsageError on a remote host.
        """
        if is_remote(self.options.connect):
            raise UsageError(
                "machines on another host end with the process that started them",
                hint="log in there and use ringbed on that host",
            )
        for machine in self._machines:
            machine.check()
        lease = leases.Lease.of(self._state, purpose, self._machines)
        lease.write(self._state.lease)
        self._state.keep()
        self._leased = True
        return lease

    def platform(self, topology: Topology) -> str:
        """Identifies what guests run on, as far as a saved guest depends on it."""
        emulator = Path(self._emulator())
        parts = [str(self._connection.getVersion()), str(self._connection.getLibVersion())]
        with suppress(OSError):
            status = emulator.stat()
            parts.append(f"{status.st_size} {status.st_mtime_ns}")
        if any(machine.accelerator is Accelerator.KVM for machine in topology.machines):
            parts += [platform.release(), _host_cpu()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    # -- inside

    def _open(self) -> Any:
        if self.embedded:
            connection = libvirt_connection.open_embedded(self._state.libvirt_root)
        else:
            connection = libvirt_connection.open_daemon(self.options.connect)
        libvirt = libvirt_module()
        stopped = (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED)

        def on_event(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
            if event in stopped:
                self._on_stopped(domain.name())

        self._callback = connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None
        )
        return connection

    def _close(self) -> None:
        libvirt = libvirt_module()
        with suppress(libvirt.libvirtError):
            self._connection.domainEventDeregisterAny(self._callback)
            self._connection.close()
        if self.embedded:
            libvirt_connection.keep_capabilities(self._state.libvirt_root)

    def _on_stopped(self, domain_name: str) -> None:
        for machine in self._machines:
            if machine.domain_name == domain_name:
                machine.on_stopped()

    def _destroy_all(self) -> None:
        """End every guest, even when one of them resists; then raise what went wrong first."""
        try:
            destroy_all(self._machines)
        except RingbedError:
            # Keep the directory: the next start can only clean up what it finds.
            self._state.keep()
            raise

    def _files(self, group: Path) -> Files:
        if self.embedded:
            return LocalFiles(self._state, group, None)
        if not is_remote(self.options.connect):
            return LocalFiles(self._state, group, _daemon_user())
        files = RemoteFiles(self._state, int(group.name))
        self._stack.callback(files.remove)
        return files

    def _services(self, files: Files, emulator: str, cancelled: threading.Event) -> Services:
        state = self._state
        where = state.libvirt_root if self.embedded else Path("/")
        run = where / "run" / "qemu" if self.embedded else Path("/run/libvirt/qemu")
        log = where / "log" / "qemu" if self.embedded else Path("/var/log/libvirt/qemu")
        return Services(
            connection=self._connection,
            state=state,
            files=files,
            keys=guest_keys(),
            emulator=emulator,
            domain_name=self._domain_name,
            lease_port=self.options.lease_port,
            cancelled=cancelled,
            pid_file=lambda name: run / f"{name}.pid",
            qemu_log=lambda name: log / f"{name}.log",
        )

    def _domain_name(self, machine: str) -> str:
        """An embedded driver has only our machines, under names that a snapshot can keep."""
        return machine if self.embedded else f"ringbed-{self.token}-{machine}"

    def _emulator(self) -> str:
        if self.options.emulator:
            return self.options.emulator
        if not self.embedded:
            return _preferred_emulator(self._connection)
        found = shutil.which(QEMU)
        if found is None:
            raise HostError(f"there is no {QEMU}", hint="start ringbed through ./ringbed")
        return found

    def _enter_namespace(self, topology: Topology, group: Path) -> str:
        """The emulator for this topology: QEMU, or QEMU in a namespace with taps."""
        emulator = self._emulator()
        if not any(links.needs_tap(topology, link.name) for link in topology.links):
            return emulator
        if not self.embedded:
            raise HostError(
                "several queues on virtio need the connection embed",
                hint="use one queue, or the NIC model igb",
            )
        namespace = netns.LinkNamespace(topology, group / "netns.log")
        self._stack.enter_context(namespace)
        wrapper = group / QEMU
        netns.write_wrapper(wrapper, namespace.entry, emulator)
        return str(wrapper)

    def _check_support(self, topology: Topology) -> None:
        nics = [nic for machine in topology.machines for nic in machine.nics]
        version = self._connection.getVersion()
        if any(nic.model is NicModel.IGB_VF for nic in nics) and version < FIRST_QEMU_WITH_VFS:
            raise HostError(
                f"QEMU {version // 1_000_000}.{version // 1000 % 1000}.{version % 1000} has no "
                "working igb VFs",
                hint="QEMU 10.0.3 has; the connection embed brings it",
            )


def _daemon_user() -> tuple[int, int]:
    """As whom a daemon is to run QEMU and passt: this user, who owns the image and the sockets.

    Not as root, because passt can not do without root's capabilities then; libvirt's own user
    gets the directories of the machines instead, and must be able to read the image.
    """
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    try:
        entry = pwd.getpwnam(libvirt_connection.LIBVIRT_USER)
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _preferred_emulator(connection: Any) -> str:
    try:
        text = connection.getDomainCapabilities(None, "x86_64", "q35", None)
    except libvirt_module().libvirtError as error:
        raise HostError("that libvirt has no QEMU for x86-64", details=str(error)) from error
    begin = text.index("<path>") + len("<path>")
    return str(text[begin : text.index("</path>", begin)])


def _host_cpu() -> str:
    """Model, features and microcode of the first CPU, on which a KVM guest's state depends."""
    wanted = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    block = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    return "\n".join(line for line in block.splitlines() if line.split("\t")[0] in wanted)
