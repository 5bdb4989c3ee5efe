# SPDX-License-Identifier: Apache-2.0
"""Machines on another host, through qemu+ssh://[user@]host[:port]/system.

Everything goes through the OpenSSH client, with the user's own configuration and keys, as
libvirt's own connection does. The image is copied once and stays in /var/tmp of that host; a run's
files go when the run ends. One ssh process a machine brings its console here and its ssh port to
this host's 127.0.0.1, so that nothing else has to know where a machine is.
"""

import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from orchestrator import process
from orchestrator.errors import CommandError, HostError
from orchestrator.host.ports import lease_port
from orchestrator.vm.files import User
from orchestrator.vm.model import Boot
from orchestrator.vm.state import RunState

COMMAND_S = 60.0
COPY_S = 600.0
HINT = "check that `ssh` to that host works without a password"


def is_remote(connect: str) -> bool:
    return bool(urlsplit(connect).hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHost:
    """A host as its libvirt URI names it. program: ssh, or what the URI wants in its place.
    options: of ssh and scp alike."""

    destination: str
    port: int
    program: str
    options: tuple[str, ...]

    @classmethod
    def of(cls, uri: str) -> "RemoteHost":
        """libvirt's own URI parameters command, keyfile and no_verify count here too."""
        parts = urlsplit(uri)
        query = parse_qs(parts.query)
        options = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        # Whatever the user's configuration says: a master would outlive what it was started for,
        # and a forwarded port would live as long as the master.
        options += ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
        for keyfile in query.get("keyfile", []):
            options += ["-i", keyfile]
        if query.get("no_verify", ["0"]) != ["0"]:
            options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        host = parts.hostname or ""
        return cls(
            destination=f"{parts.username}@{host}" if parts.username else host,
            port=parts.port or 22,
            program=query.get("command", ["ssh"])[0],
            options=tuple(options),
        )

    def command(self, script: str, *, terminal: bool = False) -> list[str]:
        """The words that run a shell script there."""
        options = [*self.options, *(("-tt",) if terminal else ())]
        return [self.program, *options, "-p", str(self.port), self.destination, script]

    def run(self, script: str, *, input_text: str | None = None) -> str:
        """Standard output of a shell script there. Raises HostError when it fails."""
        try:
            done = process.run(self.command(script), timeout=COMMAND_S, input_text=input_text)
        except CommandError as error:
            raise HostError(
                f"a command on {self.destination} failed", details=error.details, hint=HINT
            ) from error
        return done.stdout

    def copy(self, source: Path, target: Path, mark: str) -> None:
        """Copy a file there; it appears complete or not at all. mark: who else copies it there at
        the same time has another one."""
        scratch = f"{target}.{mark}.part"
        process.run(
            (
                "scp",
                *self.options,
                "-q",
                "-S",
                self.program,
                "-P",
                str(self.port),
                source,
                f"{self.destination}:{scratch}",
            ),
            timeout=COPY_S,
            hint=HINT,
        )
        self.run(
            f"chmod 644 {shlex.quote(scratch)} && mv {shlex.quote(scratch)} "
            f"{shlex.quote(str(target))}"
        )


class RemoteFiles:
    """A run's directory on another host, below a directory that belongs to the user there."""

    def __init__(self, state: RunState, group: int) -> None:
        self._host = RemoteHost.of(state.connect)
        self._state = state
        self._group = group
        self._starts = 0
        self._bringing = threading.Lock()
        self._base, self._run_as = _greet(self._host)
        self._run = self._base / state.token

    @property
    def run_as(self) -> User:
        return self._run_as

    def boot(self, boot: Boot) -> Boot:
        directory = self._base / "images" / boot.image_id
        return Boot(
            kernel=directory / boot.kernel.name,
            initrd=directory / boot.initrd.name,
            root=directory / boot.root.name,
            image_id=boot.image_id,
        )

    def firmware(self, machine: str) -> Path:
        return self._run / "fw" / machine

    def sockets(self) -> Path:
        return self._run / str(self._group)

    def console_socket(self, machine: str) -> Path:
        return self._run / "con" / machine

    def console_log(self, machine: str, log: Path) -> Path:
        # Each life has a file of its own, because each is brought here from its beginning.
        return self._run / "con" / f"{machine}.{self._starts}.log"

    def prepare(self, machine: str, boot: Boot, contents: Mapping[str, str], log: Path) -> None:
        self._starts += 1
        # The machines of a group start at the same time; the image is to come once.
        with self._bringing:
            self._bring_image(boot)
        directory = shlex.quote(str(self.firmware(machine)))
        sockets = shlex.quote(str(self.sockets()))
        console = shlex.quote(str(self.console_log(machine, log)))
        owner = f"{self._run_as[0]}:{self._run_as[1]}"
        run = shlex.quote(str(self._run))
        self._host.run(
            f"set -e; umask 077; mkdir -p {directory} {sockets} {run}/con; : >{console}; "
            f"chmod 711 {run}"
        )
        for key, text in contents.items():
            self._host.run(f"umask 077; cat >{directory}/{key}", input_text=text)
        self._host.run(f'[ "$(id -u)" != 0 ] || chown -R {owner} {run}')

    def attach(self, machine: str, port: int, log: Path) -> AbstractContextManager[int]:
        return self._tether(machine, port, log)

    def remove(self) -> None:
        self._host.run(f"rm -rf {shlex.quote(str(self._run))}")

    def _bring_image(self, boot: Boot) -> None:
        there = self.boot(boot)
        self._host.run(f"mkdir -p {shlex.quote(str(there.root.parent))}")
        for source, target in (
            (boot.kernel, there.kernel),
            (boot.initrd, there.initrd),
            (boot.root, there.root),
        ):
            size = self._host.run(f"stat -c %s {shlex.quote(str(target))} 2>/dev/null || true")
            if size.strip() != str(source.stat().st_size):
                self._host.copy(source, target, f"{self._state.token}-{self._group}")

    @contextmanager
    def _tether(self, machine: str, port: int, log: Path) -> Iterator[int]:
        """An ssh that forwards the port and prints the console. A terminal is asked for only so
        that the other side ends with it. Its log's name tells the sweeper whose it is."""
        console = shlex.quote(str(self.console_log(machine, log)))
        own_log = self._state.path / f"{machine}.ssh"
        options = ("-tt", "-E", str(own_log), "-p", str(self._host.port))
        safety = ("-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5")
        # The lease lasts as long as the port is used: ssh must bind it, and may do so late.
        with lease_port() as lease:
            forward = ("-L", f"127.0.0.1:{lease.port}:127.0.0.1:{port}")
            argv = (
                self._host.program, *self._host.options, *options, *safety, *forward,
                self._host.destination, f"exec tail -n +1 -F {console}",
            )  # fmt: skip
            with process.background(argv, log=log) as child:
                _await_port(lease.port, child, own_log)
                yield lease.port


def _await_port(port: int, child: subprocess.Popen[str], log: Path) -> None:
    end = time.monotonic() + COMMAND_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if child.poll() is not None or time.monotonic() > end:
            text = log.read_text("utf-8", "replace") if log.exists() else ""
            raise HostError("ssh does not forward a guest's port", details=text, hint=HINT)
        time.sleep(0.05)


def forget(connect: str, token: str) -> None:
    """Remove what a run of that token left on a remote host."""
    host = RemoteHost.of(connect)
    base, _ = _greet(host)
    host.run(f"rm -rf {shlex.quote(str(base / token))} {base}/images/*/*.{token}-*.part")


def _greet(host: RemoteHost) -> tuple[Path, User]:
    """The directory of this user there, made if need be, and the user for QEMU.

    As root, libvirt's own user runs QEMU, because passt refuses to be root there.
    """
    answer = host.run(
        'set -e; base=/var/tmp/ringbed-$(id -u); mkdir -p -m 711 "$base"; [ -O "$base" ]; '
        'user=$(id -u); if [ "$user" = 0 ]; then user=libvirt-qemu; '
        'id -u "$user" >/dev/null 2>&1 || user=nobody; fi; '
        'echo "$base $(id -u "$user") $(id -g "$user")"'
    )
    base, user, group = answer.split()
    return Path(base), (int(user), int(group))
