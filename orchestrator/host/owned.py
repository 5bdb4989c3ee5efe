# SPDX-License-Identifier: Apache-2.0
"""Directories below the state directory that belong to one process each.

A directory belongs to the process that holds the lock on its `owner` file. The kernel drops the
lock with the process, however it ends; nobody has to guess from process numbers. What has no owner
any more is removed at the next start (see `vm.sweep`).
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import string
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator import paths
from orchestrator.errors import HostError
from orchestrator.host.private import make_private
from orchestrator.process import deferred_signals

OWNER = "owner"
FRESH_SUFFIX = ".new"
_ALPHABET = string.ascii_lowercase + string.digits
_LENGTH = 10
TOKEN = re.compile(rf"[a-z][a-z0-9]{{{_LENGTH - 1}}}({re.escape(FRESH_SUFFIX)})?")


def new_token() -> str:
    """A name for a directory that no other has: ten letters and digits, the first a letter."""
    first = secrets.choice(string.ascii_lowercase)
    return first + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH - 1))


class OwnerLock:
    """The lock of an owned directory. Taking it proves that no process owns the directory."""

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


class OwnedDirectory:
    """The directory `<root>/<token>`, owned by this process; a context manager.

    connect: the libvirt connection of its machines, for whoever cleans up; empty when it has
    none. Leaving the context removes the directory unless `keep` was called.
    """

    def __init__(self, token: str, connect: str = "", root: Path | None = None) -> None:
        self.token = token
        self.connect = connect
        self.root = root or paths.state()
        self.path = self.root / token
        self._fresh = self.root / f"{token}{FRESH_SUFFIX}"
        self._keep = False
        self._lock = OwnerLock(self.path)

    def keep(self) -> None:
        """Leave the directory in place when the context ends."""
        self._keep = True

    def __enter__(self) -> Self:
        try:
            with deferred_signals():
                self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with deferred_signals():
            if self._keep:
                self._lock.release()
            else:
                self._remove()

    def _make(self) -> None:
        """Make the directory so that nobody ever sees it without an owner."""
        make_private(self.root)
        self._fresh.mkdir(mode=0o711)
        self._lock = OwnerLock(self._fresh)
        if not self._lock.take():
            raise HostError(f"{self._fresh} was taken by another process")
        self._lock.describe(self.connect)
        self._fresh.rename(self.path)

    def _remove(self) -> None:
        remove_tree(self._fresh)
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
