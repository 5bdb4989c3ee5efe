# SPDX-License-Identifier: Apache-2.0
"""Leases of ports and locks between processes."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import DeadlineError, HostError
from orchestrator.host import ports
from orchestrator.host.locks import locked, try_lock


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGBED_STATE", str(tmp_path))
    return tmp_path


def hold_ports(count: int) -> subprocess.Popen[str]:
    script = (
        "import sys\nfrom orchestrator.host.ports import lease_port\n"
        f"leases = [lease_port() for _ in range({count})]\n"
        "print(*(lease.port for lease in leases), flush=True)\nsys.stdin.read()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=paths.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_leased_ports_differ_and_can_be_bound() -> None:
    leases = [ports.lease_port() for _ in range(50)]
    assert len({lease.port for lease in leases}) == 50
    with socket.create_server((ports.LOOPBACK, leases[0].port)):
        pass
    for lease in leases:
        lease.close()
        lease.close()
    assert not list(paths.state("ports").iterdir())


def test_processes_never_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST_PORT", ports.FIRST_PORT + 3_000)
    held = []
    children = [hold_ports(30) for _ in range(2)]
    try:
        for child in children:
            assert child.stdout is not None
            held += child.stdout.readline().split()
    finally:
        for child in children:
            child.communicate("", timeout=20)
    assert len(set(held)) == 60


def test_a_dead_owner_loses_its_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    child = hold_ports(1)
    assert child.stdout is not None
    port = int(child.stdout.readline())
    monkeypatch.setattr(ports, "FIRST_PORT", port)
    monkeypatch.setattr(ports, "LAST_PORT", port)
    monkeypatch.setattr(ports, "ATTEMPTS", 1)
    try:
        with pytest.raises(HostError, match="no free TCP port"):
            ports.lease_port()
    finally:
        child.kill()
        child.communicate(timeout=20)
    with ports.lease_port() as lease:
        assert lease.port == port


def test_a_port_somebody_listens_on_is_not_leased(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        monkeypatch.setattr(ports, "LAST_PORT", port)
        monkeypatch.setattr(ports, "ATTEMPTS", 1)
        with pytest.raises(HostError):
            ports.lease_port()


def test_lock_waits_no_longer_than_told(state: Path) -> None:
    with locked(state / "lock", timeout=1, what="x"):
        assert try_lock(state / "lock") is None
        with pytest.raises(DeadlineError, match="at work on x"):
            with locked(state / "lock", timeout=0.2, what="x"):
                pass
    with locked(state / "lock", timeout=0.2, what="x"):
        pass
