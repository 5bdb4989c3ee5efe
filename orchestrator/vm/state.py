# SPDX-License-Identifier: Apache-2.0
"""The state directory of one run: sockets, libvirt's root, the lock that says its owner lives.

A directory belongs to the process that holds the lock on its `owner` file. The kernel drops the
lock with the process, however it ends; nobody has to guess from process numbers.
"""

import fcntl
import json
import os
import secrets
import shutil
import string
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from orchestrator import paths
from orchestrator.errors import HostError

OWNER = "owner"
LEASE = "lease.json"
FRESH_SUFFIX = ".new"
_ALPHABET = string.ascii_lowercase + string.digits


def new_token() -> str:
    """A name for a run that no other run has: ten letters and digits, the first a letter."""
    first = secrets.choice(string.ascii_lowercase)
    return first + "".join(secrets.choice(_ALPHABET) for _ in range(9))


class OwnerLock:
    """The lock of a state directory. Taking it proves that no process owns the directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = -1

    def take(self) -> bool:
        """Try to become the owner; never waits. False when there is one, or no directory."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._file = os.open(self.directory / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
            # The previous owner may have removed the directory while we waited for nothing.
            if self._is_current():
                return True
            self.release()
        return False

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def describe(self, connect: str) -> None:
        """Say in the file who the owner is and through which libvirt its machines run."""
        entry = {"pid": os.getpid(), "since": round(time.time()), "connect": connect}
        text = json.dumps(entry) + "\n"
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def _is_current(self) -> bool:
        try:
            here = (self.directory / OWNER).stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file)
        return (here.st_dev, here.st_ino) == (mine.st_dev, mine.st_ino)


class RunState:
    """The directory `<state>/<token>`, owned by this process; a context manager.

    connect: the libvirt connection of its machines, for whoever cleans up. Leaving the context
    removes the directory unless `keep` was called.
    """

    def __init__(self, token: str, connect: str, root: Path | None = None) -> None:
        self.token = token
        self.connect = connect
        self.root = root or paths.state()
        self.path = self.root / token
        self._keep = False
        self._lock = OwnerLock(self.path)

    @property
    def libvirt_root(self) -> Path:
        return self.path / "v"

    @property
    def lease(self) -> Path:
        return self.path / LEASE

    def firmware(self, machine: str) -> Path:
        return self.path / "fw" / machine

    def console(self, machine: str) -> Path:
        return self.path / "con" / machine

    def new_group(self) -> Path:
        """A new directory for the links of one group of machines."""
        links = self.path / "link"
        directory = links / str(len(list(links.iterdir())))
        directory.mkdir(mode=0o700)
        return directory

    def keep(self) -> None:
        """Leave the directory in place when the context ends."""
        self._keep = True

    def __enter__(self) -> "RunState":
        """Make the directory so that nobody ever sees it without an owner."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        fresh = self.root / f"{self.token}{FRESH_SUFFIX}"
        fresh.mkdir(mode=0o711)
        self._lock = OwnerLock(fresh)
        if not self._lock.take():
            raise HostError(f"{fresh} was taken by another process")
        self._lock.describe(self.connect)
        fresh.rename(self.path)
        for directory in ("con", "fw", "link"):
            (self.path / directory).mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._keep:
            remove_tree(self.path)
        self._lock.release()


def remove_tree(path: Path) -> None:
    """Remove a directory; the owner file goes last, so that an interrupted removal is found."""
    if not path.is_dir():
        return
    for entry in path.iterdir():
        if entry.name == OWNER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
