# SPDX-License-Identifier: Apache-2.0
"""Removes what killed processes left behind: guests, passt, sockets, directories.

Stale is a state directory whose owner lock nobody holds and that has no lease. Its guests are
ended through libvirt, in a process of its own because a process can open one embedded driver; what
libvirt does not know (passt, a playbook under way) is found by its command line, which names that
directory.
"""

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import HostError, InfrastructureError
from orchestrator.host.owned import FRESH_SUFFIX, OWNER, TOKEN, OwnerLock, remove_tree
from orchestrator.host.ports import remove_stale_leases
from orchestrator.host.private import check_private
from orchestrator.vm.connection import EMBED, libvirt_module, open_daemon, open_embedded
from orchestrator.vm.remote import forget, is_remote
from orchestrator.vm.snapshots import SnapshotCache
from orchestrator.vm.state import LEASE

logger = logging.getLogger(__name__)

REAP_S = 60.0
END_S = 10.0
# A directory without a lock may belong to a process that is about to take it.
FRESH_S = 10.0
_PYTHON = {"PYTHONPATH": str(paths.PROJECT)}


def sweep_stale(state: Path | None = None) -> list[str]:
    """Clean up after processes that were killed; returns a sentence for each one found.

    Safe at any time and by any number of processes: runs that live and leases are left alone.
    Raises HostError when others may write to the state directory: nothing in it is believed then.
    """
    root = state or paths.state()
    done: list[str] = []
    check_private(root)
    if not root.is_dir():
        return done
    for directory in sorted(filter(_is_owned, root.iterdir())):
        if (directory / LEASE).exists() or _is_fresh(directory):
            continue
        lock = OwnerLock(directory)
        if not lock.take():
            continue
        try:
            # Between the look above and the lock, a lease may have been written.
            if (directory / LEASE).exists():
                continue
            ended = _clean(directory)
        except InfrastructureError as error:
            logger.warning("%s cannot be cleaned up yet: %s", directory, error)
            continue
        finally:
            lock.release()
        what = f", ended {ended} processes" if ended else ""
        done.append(f"removed what run {directory.name} had left behind{what}")
    remove_stale_leases(root)
    return done


def end_run(directory: Path) -> None:
    """End all guests of a state directory and remove it, lease or not.

    Raises HostError when a process still owns it.
    """
    if not directory.exists():
        return
    lock = OwnerLock(directory)
    if not lock.take():
        raise HostError(
            f"the machines {directory.name} belong to a running process",
            hint=f"end that process first; {directory / OWNER} names it",
        )
    try:
        _clean(directory)
    finally:
        lock.release()


def process_belongs(pid: int, directory: Path) -> bool:
    """Whether a process exists and its command line names a path in `directory`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(directory) + b"/" in words


def _is_owned(directory: Path) -> bool:
    """Whether it has, had, or was to get an owner: a kill may come at any moment."""
    if (directory / OWNER).exists():
        return True
    return TOKEN.fullmatch(directory.name) is not None and directory.is_dir()


def _is_fresh(directory: Path) -> bool:
    """Whether it may be about to get its owner, or to go; the window is a few instructions wide."""
    if not directory.name.endswith(FRESH_SUFFIX) and (directory / OWNER).exists():
        return False
    with suppress(OSError):
        return time.time() - directory.stat().st_mtime < FRESH_S
    return True


def _clean(directory: Path) -> int:
    """End what runs there and remove the directory; returns how many processes were ended."""
    pids = _pids(directory)
    argv = (sys.executable, "-m", "orchestrator.vm.sweep", directory)
    if _connect(directory) != EMBED:
        # Without the daemon's help nothing can be ended there, so the directory has to stay.
        process.run(argv, timeout=REAP_S, env=_PYTHON)
    elif pids:
        # What libvirt cannot end is ended below; why it could not is in the log.
        with suppress(InfrastructureError):
            process.run(argv, timeout=REAP_S, env=_PYTHON)
    _end(directory)
    SnapshotCache().remove_scratch(directory.name)
    remove_tree(directory)
    return len(pids)


def _connect(directory: Path) -> str:
    """Through which libvirt the machines ran, as the owner wrote it."""
    try:
        entry = json.loads((directory / OWNER).read_text(encoding="utf-8"))
        return str(entry["connect"]) or EMBED
    except (OSError, ValueError, KeyError):
        return EMBED


def _pids(directory: Path) -> list[int]:
    """The processes whose command lines name something in the directory."""
    found = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in found if pid != os.getpid() and process_belongs(pid, directory)]


def _end(directory: Path) -> None:
    """Looks again and again: what is being ended may still start something."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + END_S / 2
        told: set[int] = set()
        while pids := set(_pids(directory)):
            for pid in pids - told:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told |= pids
            if time.monotonic() > end:
                break
            time.sleep(0.02)
    if left := _pids(directory):
        raise HostError(f"processes {left} of {directory} do not end")


def _reap(directory: Path) -> None:
    """Destroy every domain of a state directory. Runs in a process of its own."""
    connect = _connect(directory)
    if connect == EMBED:
        connection = open_embedded(directory / "v")
        doomed = connection.listAllDomains()
    else:
        connection = open_daemon(connect)
        prefix = f"ringbed-{directory.name}-"
        doomed = [d for d in connection.listAllDomains() if d.name().startswith(prefix)]
    for domain in doomed:
        with suppress(libvirt_module().libvirtError):
            domain.destroy()
    connection.close()
    if is_remote(connect):
        forget(connect, directory.name)


if __name__ == "__main__":
    _reap(Path(sys.argv[1]))
