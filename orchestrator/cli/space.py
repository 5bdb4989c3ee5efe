# SPDX-License-Identifier: Apache-2.0
"""Disk space: what a directory takes, and how it is given back.

Neither looks into what is mounted inside the directory: it takes no space there, and is not ours
to remove.
"""

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def disk_usage(*places: Path) -> int:
    """Bytes that files and directories take on their disk; a file with several names counts once.

    Sparse files (snapshots, images) count as what they take.
    """
    seen: set[tuple[int, int]] = set()
    mounts = mount_points()
    return sum(_usage(os.fspath(place), mounts, seen) for place in places)


def remove(place: Path) -> bool:
    """Remove a file or a directory. False when something is mounted inside, which had to stay."""
    return _remove(os.fspath(place), mount_points())


def mounted_inside(place: Path) -> list[str]:
    """What is mounted at or below a directory."""
    root = os.path.realpath(place)
    return sorted(m for m in mount_points() if m == root or m.startswith(root + "/"))


def mount_points() -> frozenset[str]:
    """Where something is mounted, as this process sees it.

    Device numbers alone do not tell: a bind mount of the same file system has its parent's.
    """
    fields = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    return frozenset(_OCTAL.sub(lambda code: chr(int(code[1], 8)), field[4]) for field in fields)


def _own(directory: str, mounts: frozenset[str]) -> tuple[list[str], bool]:
    """The entries of a directory without what is mounted there, and whether these are all."""
    device = os.lstat(directory).st_dev
    real = os.path.realpath(directory)
    with os.scandir(directory) as found:
        entries = list(found)
    own = [
        entry.path
        for entry in entries
        if entry.stat(follow_symlinks=False).st_dev == device
        and os.path.join(real, entry.name) not in mounts
    ]
    return own, len(own) == len(entries)


def _usage(path: str, mounts: frozenset[str], seen: set[tuple[int, int]]) -> int:
    status = os.lstat(path)
    taken = status.st_blocks * 512
    if stat.S_ISDIR(status.st_mode):
        return taken + sum(_usage(entry, mounts, seen) for entry in _own(path, mounts)[0])
    if status.st_nlink > 1:
        if (status.st_dev, status.st_ino) in seen:
            return 0
        seen.add((status.st_dev, status.st_ino))
    return taken


def _remove(path: str, mounts: frozenset[str]) -> bool:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return True
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        # Packages bring directories that even their owner may not write to.
        with suppress(PermissionError):
            os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
    inside, all_own = _own(path, mounts)
    # All of them, also after the first that has to stay.
    gone = [_remove(entry, mounts) for entry in inside]
    if not all_own or not all(gone):
        return False
    os.rmdir(path)
    return True
