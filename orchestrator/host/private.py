# SPDX-License-Identifier: Apache-2.0
"""A state directory that no other user can have made, look into, or change.

Where anybody may make files (/tmp), somebody else can be first. What lies in a state directory is
believed: processes named there are ended, sockets and files there are used.
"""

import os
import stat
from pathlib import Path

from orchestrator.errors import HostError

_OURS_ALONE = 0o077
_NOT_WRITTEN_BY_OTHERS = 0o022


def make_private(root: Path) -> None:
    """Make the directory unless it is there. Raises HostError when it cannot be trusted."""
    check_private(root)
    for path in reversed((root, *root.parents)):
        if not path.exists():
            path.mkdir(exist_ok=True, mode=0o700 if _anybody_writes(path.parent) else 0o755)
    # Somebody may have been faster.
    check_private(root)


def check_private(root: Path) -> None:
    """Raise HostError when the directory, or one above it, lies where anybody may make files and
    is not this user's alone. One that does not exist is well."""
    place = Path(os.path.abspath(root))
    for path in (place, *place.parents):
        if path == path.parent or not _anybody_writes(path.parent):
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        owners = (os.geteuid(),) if path == place else (os.geteuid(), 0)
        forbidden = _OURS_ALONE if path == place else _NOT_WRITTEN_BY_OTHERS
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
            raise HostError(
                f"{path} is not a directory of this user, but anybody could have made it",
                hint="set RINGBED_STATE to a directory of your own, such as ~/.rb",
            )
        if found.st_mode & forbidden:
            raise HostError(
                f"other users may use {path}: its mode is {stat.S_IMODE(found.st_mode):04o}",
                hint=f"if you made it: chmod 700 {path}; or set RINGBED_STATE to another directory",
            )


def _anybody_writes(directory: Path) -> bool:
    try:
        return bool(directory.stat().st_mode & stat.S_IWOTH)
    except FileNotFoundError:
        return False
