# SPDX-License-Identifier: Apache-2.0
"""Saved guests, kept under a hash of all that decides how they look after booting.

A snapshot is a directory that appears complete or not at all; any number of runs restore from it
at once, and none writes to it. `contents.json` says what the file must be: libvirt would notice a
broken header, but not a flipped page.
"""

import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths

logger = logging.getLogger(__name__)

MEMORY = "memory"
CONTENTS = "contents.json"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A guest's memory and devices in a file that libvirt restores from."""

    key: str
    directory: Path

    @property
    def memory(self) -> Path:
        return self.directory / MEMORY

    @property
    def bytes_on_disk(self) -> int:
        return self.memory.stat().st_blocks * 512


class SnapshotCache:
    def __init__(self, root: Path | None = None) -> None:
        self.root = root or paths.cache("snapshots")

    def find(self, key: str) -> Snapshot | None:
        """The snapshot of that key. One that is damaged is removed, and counts as missing."""
        snapshot = Snapshot(key=key, directory=self.root / key)
        try:
            text = (snapshot.directory / CONTENTS).read_text(encoding="utf-8")
            contents = json.loads(text)
            intact = contents == describe(snapshot.memory)
        except FileNotFoundError:
            if not snapshot.directory.exists():
                return None
            intact = False
        except (OSError, ValueError):
            intact = False
        if not intact:
            self.discard(snapshot, "its file is damaged")
            return None
        return snapshot

    def scratch(self, key: str, token: str) -> Path:
        """An empty directory for a snapshot in the making; `publish` or `abandon` it."""
        directory = self.root / f".{key[:16]}.{token}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, mode=0o700)
        return directory

    def publish(self, key: str, directory: Path) -> Snapshot:
        """Make a directory in which MEMORY was written the snapshot of that key.

        When another run was faster, its snapshot stays and this one goes.
        """
        contents = json.dumps(describe(directory / MEMORY))
        (directory / CONTENTS).write_text(contents, encoding="utf-8")
        target = self.root / key
        try:
            directory.rename(target)
        except OSError:
            self.abandon(directory)
        return Snapshot(key=key, directory=target)

    def abandon(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)

    def discard(self, snapshot: Snapshot, why: str) -> None:
        """Remove a snapshot that cannot be used, and say so."""
        logger.warning("snapshot %s is removed: %s", snapshot.key[:16], why)
        doomed = self.root / f".{snapshot.key[:16]}.{os.getpid()}-{time.monotonic_ns()}"
        try:
            snapshot.directory.rename(doomed)
        except OSError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def remove_scratch(self, token: str) -> None:
        """Remove what a run of that token left unfinished."""
        for directory in self.root.glob(f".*.{token}"):
            self.abandon(directory)


def describe(memory: Path) -> dict[str, object]:
    """Size and checksum of a sparse file. Holes are left out, so that what counts is what was
    written; a CRC finds damage, and costs a tenth of a cryptographic hash."""
    checksum = 0
    with memory.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for position, end in _extents(file.fileno(), size):
            checksum = zlib.crc32(position.to_bytes(8, "little"), checksum)
            while position < end:
                data = os.pread(file.fileno(), min(CHUNK, end - position), position)
                checksum = zlib.crc32(data, checksum)
                position += len(data)
    return {"size": size, "crc32": checksum}


def _extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    position = 0
    while position < size:
        try:
            begin = os.lseek(file, position, os.SEEK_DATA)
        except OSError:
            return
        position = os.lseek(file, begin, os.SEEK_HOLE)
        yield begin, position
