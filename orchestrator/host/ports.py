# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on 127.0.0.1, shared out among the ringbed processes of this host.

A port must be named to passt before passt can bind it, so asking the kernel for a free one is
not enough: two runs could be given the same. A lease is a locked file in the state directory.
It ends when it is closed or its owner dies, whichever way.
"""

import os
import random
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator import paths
from orchestrator.errors import HostError
from orchestrator.host.locks import try_lock
from orchestrator.host.private import make_private

LOOPBACK = "127.0.0.1"
# Below the range that the kernel gives to outgoing connections (from 32768 on by default): a
# connection of somebody else cannot take a leased port before its user binds it.
FIRST_PORT = 20_000
LAST_PORT = 31_999
ATTEMPTS = 2_000
PORTS = "ports"


class PortLease:
    """The right to use `port` on 127.0.0.1 until close(). Made by lease_port()."""

    def __init__(self, port: int, descriptor: int) -> None:
        self.port = port
        self._descriptor = descriptor

    def close(self) -> None:
        """Give the port back. Calling it again does nothing."""
        if self._descriptor >= 0:
            _lock_path(self.port).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lease_port() -> PortLease:
    """Lease a port that nobody listens on. Raises HostError when there is none."""
    make_private(paths.state())
    # Not the seeded generator of an experiment: which port is used must not be reproducible.
    for port in random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), ATTEMPTS):
        descriptor = try_lock(_lock_path(port))
        if descriptor is None:
            continue
        lease = PortLease(port, descriptor)
        if _is_free(port):
            return lease
        lease.close()
    raise HostError(
        f"no free TCP port on {LOOPBACK} between {FIRST_PORT} and {LAST_PORT}",
        hint="see who uses them with: ss -ltn",
    )


def remove_stale_leases(state: Path | None = None) -> None:
    """Remove the files of leases whose owners were killed."""
    directory = (state or paths.state()) / PORTS
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        descriptor = try_lock(path)
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _lock_path(port: int) -> Path:
    return paths.state(PORTS, str(port))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
