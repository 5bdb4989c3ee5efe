# SPDX-License-Identifier: Apache-2.0
"""Locks between ringbed processes. The kernel drops them when their holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import DeadlineError

POLL_SECONDS = 0.1


def try_lock(path: Path) -> int | None:
    """Lock the file at `path` (made when missing): an open descriptor, or None when it is held.

    Close the descriptor to unlock. Children do not inherit it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed the file between our open and our lock.
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def locked(path: Path, *, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock file at `path`. Raises DeadlineError after `timeout` seconds of waiting."""
    deadline = time.monotonic() + timeout
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"another ringbed has been at work on {what} for {timeout:g} s",
                hint=f"see who holds it with: fuser -v {path}",
            )
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
