# SPDX-License-Identifier: Apache-2.0
"""One guest: start, wait until usable, talk to it, save, restore, destroy.

A machine that failed stays failed: the first cause is kept and raised again by whatever is asked
of it afterwards, until it is destroyed or started anew.
"""

import logging
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from fabric import Connection

from orchestrator.errors import MachineError, UsageError
from orchestrator.host.ports import PortLease
from orchestrator.process import tail
from orchestrator.vm import domain, keys, ssh
from orchestrator.vm.connection import libvirt_module, mapped
from orchestrator.vm.console import ConsoleLog
from orchestrator.vm.files import Files
from orchestrator.vm.model import MachineConfig, Topology
from orchestrator.vm.state import RunState

logger = logging.getLogger(__name__)

TICK_S = 0.02
PORT_ATTEMPTS = 5
LAST_WORDS_S = 1.0
COMMAND_S = 20.0
# A domain needs a port number before one is chosen; it is not part of QEMU's command line.
NO_PORT = 1


class MachineState(Enum):
    DEFINED = "defined"
    RUNNING = "running"
    READY = "ready"
    SAVED = "saved"
    STOPPED = "stopped"
    FAILED = "failed"


ALIVE = (MachineState.RUNNING, MachineState.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a machine needs from the hypervisor it lives on.

    connection: libvirt's. files: where the machine's files are on its host.
    cancelled: set when waiting has no purpose any more. pid_file, qemu_log: of a domain, by its
    name; they exist only where machines run on this host.
    """

    connection: Any
    state: RunState
    files: Files
    keys: keys.Keys
    emulator: str
    domain_name: Callable[[str], str]
    lease_port: Callable[[], PortLease]
    cancelled: threading.Event
    pid_file: Callable[[str], Path]
    qemu_log: Callable[[str], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecord:
    """How a machine came up, and the seconds from the start to a usable ssh connection."""

    how: Literal["cold", "snapshot"]
    seconds: float


class Machine:
    """A guest on a hypervisor. `Hypervisor.define` makes them; use as a context manager to have
    it destroyed at the end."""

    def __init__(
        self, services: Services, topology: Topology, config: MachineConfig, directory: Path
    ) -> None:
        self.config = config
        self.topology = topology
        self.directory = directory
        self.console_log = directory / "console.log"
        self.ssh_port = NO_PORT
        self._forwarded = NO_PORT
        self.boot: BootRecord | None = None
        self._services = services
        self._state = MachineState.DEFINED
        self._cause: MachineError | None = None
        self._console = ConsoleLog(self.console_log)
        self._guest = ssh.Guest(name=config.name, check=self.check, console=self.console_tail)
        self._domain: Any = None
        self._died = threading.Event()
        self._ssh: Connection | None = None
        self._tether = ExitStack()
        self._how: Literal["cold", "snapshot"] = "cold"
        self._began = 0.0

    def __enter__(self) -> "Machine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    # -- what it is

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def state(self) -> MachineState:
        return self._state

    @property
    def domain_name(self) -> str:
        return self._services.domain_name(self.name)

    @property
    def console_socket(self) -> Path:
        """Where the console listens, on the machine's host."""
        return self._services.files.console_socket(self.name)

    @property
    def domain_xml(self) -> str:
        """The definition as it is (or would be) given to libvirt."""
        files = self._services.files
        place = domain.Place(
            domain_name=self.domain_name,
            title=f"ringbed {self._services.state.token} {self.name}",
            emulator=self._services.emulator,
            firmware=files.firmware(self.name),
            sockets=files.sockets(),
            console_socket=self.console_socket,
            console_log=files.console_log(self.name, self.console_log),
            ssh_port=self._forwarded,
            run_as=files.run_as,
        )
        config = replace(self.config, boot=files.boot(self.config.boot))
        return domain.render(self.topology, config, place)

    def firmware(self) -> dict[str, str]:
        """What the guest reads from fw_cfg: contents by key."""
        return domain.firmware(
            self.topology,
            self.config,
            self._services.keys.authorized_key,
            self._services.keys.host_private,
        )

    def argv(self) -> list[str]:
        """QEMU's command line. Starts nothing."""
        with mapped(f"{self.name}: libvirt refuses the definition", machine=self.name):
            text = self._services.connection.domainXMLToNative("qemu-argv", self.domain_xml)
        return shlex.split(text)

    @property
    def pid(self) -> int:
        """QEMU's process on its host. Raises MachineError when it does not run."""
        try:
            return int(self._services.pid_file(self.domain_name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MachineError(f"{self.name} does not run", machine=self.name) from error

    # -- life cycle

    def start(self) -> None:
        """Boot from cold. Returns when QEMU runs; `wait_ready` waits for the guest."""
        self._expect(MachineState.DEFINED, MachineState.SAVED, MachineState.STOPPED)
        self._check_files()
        self._how = "cold"
        self._launch(lambda xml: self._services.connection.createXML(xml, 0))

    def restore(self, path: Path) -> None:
        """Continue from a file that `save` wrote, in this run or another; it stays unchanged.

        Raises MachineError when libvirt or QEMU refuses it.
        """
        self._expect(MachineState.DEFINED, MachineState.SAVED, MachineState.STOPPED)
        self._check_files()
        self._how = "snapshot"
        libvirt = libvirt_module()

        def resume(xml: str) -> Any:
            self._services.connection.restoreFlags(str(path), xml, libvirt.VIR_DOMAIN_SAVE_RUNNING)
            return self._services.connection.lookupByName(self.domain_name)

        self._launch(resume)

    def save(self, path: Path) -> None:
        """Write the running guest to a file and end it. Takes seconds; needs disk space up to
        the guest's memory. The guest's ssh connections end."""
        self._expect(*ALIVE)
        self._close_ssh()
        libvirt = libvirt_module()
        parameters = {
            libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: str(path),
            libvirt.VIR_DOMAIN_SAVE_PARAM_IMAGE_FORMAT: "sparse",
        }
        with mapped(f"{self.name} cannot be saved", machine=self.name):
            self._domain.saveParams(parameters, 0)
        self._tether.close()
        self._domain = None
        self._state = MachineState.SAVED

    def wait_ready(self, deadline_s: float) -> None:
        """Wait until the guest has booted and answers over ssh.

        Raises MachineError as soon as the guest panics, gives up or ends, and when time is over.
        """
        self._expect(*ALIVE)
        end = time.monotonic() + deadline_s
        if self._how == "cold":
            self._wait_for_console(end, deadline_s)
        connection = ssh.connection(self._services.keys, self.ssh_port)
        try:
            ssh.open_until(connection, guest=self._guest, end=end)
        except MachineError as error:
            self._fail(error.message, details=error.details, hint=error.hint)
        self._ssh = connection
        if self._how == "snapshot":
            # The guest's clock stood still while it was a file.
            self.run(["date", "-u", "-s", f"@{time.time():.0f}"])
        self._state = MachineState.READY
        self.boot = BootRecord(how=self._how, seconds=time.monotonic() - self._began)
        logger.info("%s: ready after %.1f s (%s)", self.name, self.boot.seconds, self._how)

    def destroy(self) -> None:
        """End the guest at once, whatever it does. Does nothing when there is none."""
        self._close_ssh()
        self._tether.close()
        libvirt = libvirt_module()
        if self._domain is not None:
            try:
                self._domain.destroy()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in (
                    libvirt.VIR_ERR_NO_DOMAIN,
                    libvirt.VIR_ERR_OPERATION_INVALID,
                ):
                    raise MachineError(
                        f"{self.name} cannot be ended", machine=self.name, details=str(error)
                    ) from error
            self._domain = None
        if self._state is not MachineState.DEFINED:
            self._state = MachineState.STOPPED
        self._cause = None

    # -- what one does with it

    def ssh(self, deadline_s: float = COMMAND_S) -> Connection:
        """The open ssh connection as root; the same one every time. Not for two threads at once
        unless each uses its own channel, as `Connection.run` does. deadline_s: for opening it."""
        self.check()
        if self._ssh is None or not self._ssh.is_connected:
            self._ssh = ssh.connection(self._services.keys, self.ssh_port)
            ssh.open_until(self._ssh, guest=self._guest, end=time.monotonic() + deadline_s)
        return self._ssh

    def ssh_argv(self, *command: str) -> list[str]:
        """The OpenSSH command line into the guest."""
        return keys.ssh_command(self._services.keys, self.ssh_port, *command)

    def run(self, argv: Sequence[str] | str, deadline_s: float = COMMAND_S) -> str:
        """Standard output of a command (words) or a shell script (text) in the guest.

        Raises StepError when it fails or takes longer, MachineError when the guest is gone.
        """
        connection = self.ssh(min(deadline_s, COMMAND_S))
        return ssh.run(connection, argv, guest=self._guest, deadline_s=deadline_s)

    def put(self, data: bytes, path: str) -> None:
        """Write a file in the guest. Raises as `run` does."""
        ssh.put(self.ssh(), data, path, guest=self._guest)

    def console_tail(self, lines: int = 25) -> str:
        return self._console.tail(lines)

    def check(self) -> None:
        """Raise MachineError when the guest is not well: it panicked, gave up or ended.

        Cheap enough to be called a hundred times a second while something else is awaited.
        """
        if self._cause is not None:
            raise self._cause
        if self._state not in ALIVE:
            raise MachineError(
                f"{self.name} is {self._state.value}, not running", machine=self.name
            )
        verdict = self._console.scan()
        if verdict.panic:
            self._wait_for_last_words()
            self._fail(
                f"{self.name}: the guest's kernel panicked: {verdict.panic}",
                details=self._console.excerpt(),
            )
        if verdict.failure:
            self._wait_for_last_words()
            self._fail(f"{self.name}: the guest gave up: {verdict.failure}")
        if self._died.is_set() and not self._is_active():
            verdict = self._console.scan()
            if verdict.panic or verdict.failure:
                self.check()
            self._fail(f"{self.name}: the guest ended by itself", details=self._post_mortem())
        if self._services.cancelled.is_set():
            raise MachineError(f"{self.name}: no longer awaited", machine=self.name)

    def on_stopped(self) -> None:
        """Called by the hypervisor, in libvirt's event thread, when the domain has stopped."""
        self._died.set()

    # -- inside

    def _launch(self, begin: Callable[[str], Any]) -> None:
        """Start QEMU with a fresh ssh port, again with another one when passt lost the race."""
        self.directory.mkdir(parents=True, exist_ok=True)
        files = self._services.files
        files.prepare(self.name, self.config.boot, self.firmware(), self.console_log)
        self._began = time.monotonic()
        libvirt = libvirt_module()
        for attempt in range(PORT_ATTEMPTS):
            # The lease lasts until passt has bound the port.
            with self._services.lease_port() as lease:
                self._forwarded = lease.port
                xml = self.domain_xml
                (self.directory / "domain.xml").write_text(xml, encoding="utf-8")
                self._console.start_here()
                self._died.clear()
                with mapped(f"{self.name} cannot be started", machine=self.name):
                    try:
                        self._domain = begin(xml)
                    except libvirt.libvirtError as error:
                        if attempt + 1 == PORT_ATTEMPTS or not _port_taken(str(error)):
                            raise
                        logger.info("%s: port %d was taken", self.name, lease.port)
                        continue
            tether = files.attach(self.name, self._forwarded, self.console_log)
            self.ssh_port = self._tether.enter_context(tether)
            self._state = MachineState.RUNNING
            return

    def _check_files(self) -> None:
        boot = self.config.boot
        for what, path in (("kernel", boot.kernel), ("initrd", boot.initrd), ("root", boot.root)):
            try:
                path.open("rb").close()
            except OSError as error:
                raise MachineError(
                    f"{self.name}: the {what} image {path} cannot be read: {error.strerror}",
                    machine=self.name,
                    hint="./ringbed image build makes the guest image",
                ) from error

    def _wait_for_console(self, end: float, deadline_s: float) -> None:
        while not self._console.scan().ready:
            self.check()
            if time.monotonic() > end:
                self._fail(f"{self.name}: the guest did not boot within {deadline_s:.0f} s")
            time.sleep(TICK_S)

    def _wait_for_last_words(self) -> None:
        """A dying kernel says what it did; give it the time to, within reason."""
        self._died.wait(LAST_WORDS_S)

    def _is_active(self) -> bool:
        """Ask libvirt: an event may belong to an earlier life of the machine."""
        libvirt = libvirt_module()
        try:
            active = self._domain is not None and bool(self._domain.isActive())
        except libvirt.libvirtError:
            active = False
        if active:
            self._died.clear()
        return active

    def _post_mortem(self) -> str:
        console = self.console_tail()
        with suppress(OSError):
            log = self._services.qemu_log(self.domain_name).read_text("utf-8", "replace")
            return f"{console}\n--- QEMU's log ---\n{tail(log, 8)}"
        return console

    def _fail(self, message: str, *, details: str = "", hint: str = "") -> None:
        self._state = MachineState.FAILED
        self._cause = MachineError(
            message,
            machine=self.name,
            details=details or self.console_tail(),
            hint=hint or f"the whole console is in {self.console_log}",
        )
        raise self._cause

    def _expect(self, *states: MachineState) -> None:
        if self._cause is not None:
            raise self._cause
        if self._state not in states:
            raise UsageError(
                f"{self.name} is {self._state.value}; it must be "
                f"{' or '.join(state.value for state in states)} for this"
            )

    def _close_ssh(self) -> None:
        if self._ssh is not None:
            self._ssh.close()
            self._ssh = None


def _port_taken(text: str) -> bool:
    return "Failed to bind port" in text
