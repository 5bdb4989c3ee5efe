# SPDX-License-Identifier: Apache-2.0
"""Where the files of a machine are on the host it runs on, and how they come there.

`LocalFiles` is for machines on this host, `remote.RemoteFiles` for those behind qemu+ssh. QEMU
reads the image and the fw_cfg files, listens at sockets, and writes the console log.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from orchestrator.vm.model import Boot
from orchestrator.vm.state import RunState

type User = tuple[int, int]


class Files(Protocol):
    """run_as: user and group of QEMU where a daemon starts it for us, else None."""

    @property
    def run_as(self) -> User | None: ...

    def boot(self, boot: Boot) -> Boot:
        """The image as QEMU finds it."""

    def firmware(self, machine: str) -> Path:
        """The directory of the fw_cfg files."""

    def sockets(self) -> Path:
        """The directory of the links' sockets."""

    def console_socket(self, machine: str) -> Path: ...

    def console_log(self, machine: str, log: Path) -> Path:
        """The file that QEMU writes so that its contents come to `log`."""

    def prepare(self, machine: str, boot: Boot, contents: Mapping[str, str], log: Path) -> None:
        """Put everything in place, before the machine starts."""

    def attach(self, machine: str, port: int, log: Path) -> AbstractContextManager[int]:
        """Let `log` grow, and lead to `port` of the machine's host; the context's value is the
        port of this host's 127.0.0.1 that does. Raises HostError."""

    def remove(self) -> None:
        """Remove what `prepare` made, except the image."""


class LocalFiles:
    """The state directory of the run, on this host. group: the directory of the group's links."""

    def __init__(self, state: RunState, group: Path, run_as: User | None) -> None:
        self._state = state
        self._group = group
        self._run_as = run_as

    @property
    def run_as(self) -> User | None:
        return self._run_as

    def boot(self, boot: Boot) -> Boot:
        return boot

    def firmware(self, machine: str) -> Path:
        return self._state.firmware(machine)

    def sockets(self) -> Path:
        return self._group

    def console_socket(self, machine: str) -> Path:
        return self._state.console(machine)

    def console_log(self, machine: str, log: Path) -> Path:
        return log

    def prepare(self, machine: str, boot: Boot, contents: Mapping[str, str], log: Path) -> None:
        directory = self.firmware(machine)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for key, text in contents.items():
            (directory / key).write_text(text, encoding="utf-8")
        self._hand_over(machine, log)

    def attach(self, machine: str, port: int, log: Path) -> AbstractContextManager[int]:
        return nullcontext(port)

    def remove(self) -> None:
        """The state directory goes with the run."""

    def _hand_over(self, machine: str, log: Path) -> None:
        """Give QEMU's user, when that is not ours, what it has to read and write."""
        if self._run_as is None or self._run_as[0] == os.geteuid():
            return
        log.touch()
        firmware, console = self.firmware(machine), self.console_socket(machine)
        for path in (
            firmware,
            *firmware.iterdir(),
            firmware.parent,
            log,
            self._group,
            self._group.parent,
            console.parent,
        ):
            os.chown(path, *self._run_as)
