# SPDX-License-Identifier: Apache-2.0
"""A guest's serial console: what its log says about the guest, and a terminal on it."""

import os
import re
import select
import socket
import sys
import termios
import tty
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.process import tail

READY = "ringbed: ready"
FAILED = re.compile(r"ringbed: boot failed: (.*)")
PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|[\x00-\x08\x0b-\x1f\x7f]")
DETACH = b"\x1d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the console has said since the watch began. panic, failure: the reason, or empty."""

    ready: bool = False
    panic: str = ""
    failure: str = ""


class ConsoleLog:
    """Reads a console log as it grows; a scan costs one stat when nothing is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = ""
        self._verdict = Verdict()

    def start_here(self) -> None:
        """Forget what was said so far: a new life of the machine appends to the same file."""
        self._offset = self.path.stat().st_size if self.path.exists() else 0
        self._rest = ""
        self._verdict = Verdict()

    def scan(self) -> Verdict:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return self._verdict
        if size > self._offset:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(size - self._offset)
            self._offset += len(data)
            self._read(data.decode("utf-8", "replace"))
        return self._verdict

    def tail(self, lines: int = 25) -> str:
        """The last lines, without what is meant for a terminal."""
        return tail(self._text(), lines)

    def excerpt(self, before: int = 8, after: int = 17) -> str:
        """The lines around the last panic; the end of the log when there was none."""
        lines = self._text().splitlines()
        panics = [number for number, line in enumerate(lines) if PANIC.search(line)]
        if not panics:
            return self.tail()
        return "\n".join(lines[max(0, panics[-1] - before) : panics[-1] + after])

    def _text(self) -> str:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return CONTROL.sub("", text.replace("\r\n", "\n"))

    def _read(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            line = CONTROL.sub("", line).rstrip()
            panic, failed = PANIC.search(line), FAILED.search(line)
            before = self._verdict
            # The first cause counts; what follows it is consequence.
            self._verdict = Verdict(
                ready=before.ready or READY in line,
                panic=before.panic or (panic[1] if panic else ""),
                failure=before.failure or (failed[1] if failed else ""),
            )


def attach(path: Path) -> None:
    """Join this terminal with the console socket of a guest until ^] or the guest's end.

    Raises MachineError when nobody listens at the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
        try:
            console.connect(os.fspath(path))
        except OSError as error:
            raise MachineError(
                f"no console at {path}: {error.strerror}",
                hint="is the machine still running? ./ringbed vm list tells",
            ) from error
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal) if os.isatty(terminal) else None
        try:
            if before is not None:
                tty.setraw(terminal)
            _relay(console, terminal, sys.stdout.fileno())
        finally:
            if before is not None:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _relay(console: socket.socket, source: int, sink: int) -> None:
    while True:
        readable, _, _ = select.select([console.fileno(), source], [], [])
        if console.fileno() in readable:
            data = console.recv(65536)
            if not data:
                return
            os.write(sink, data)
        if source in readable:
            typed = os.read(source, 4096)
            if not typed or DETACH in typed:
                return
            console.sendall(typed)
