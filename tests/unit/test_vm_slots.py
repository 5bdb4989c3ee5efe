# SPDX-License-Identifier: Apache-2.0
"""Leases of a host's cores and memory, through the script that every host runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import process
from orchestrator.errors import HostError
from orchestrator.vm.connection import EMBED
from orchestrator.vm.slots import Amount, SlotLease, lease_slot

WHOLE = Amount(cores=4, mib=8000)


class Host:
    def __init__(self, log: Path) -> None:
        self.log = log
        self.leases: list[SlotLease] = []

    def lease(self, cores: int, mib: int) -> SlotLease | None:
        log = self.log.with_name(f"{len(self.leases)}.log")
        found = lease_slot(EMBED, Amount(cores=cores, mib=mib), WHOLE, log)
        self.leases += [] if found is None else [found]
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("RINGBED_SLOTS", str(tmp_path / "slots"))
    made = Host(tmp_path / "log")
    yield made
    for lease in made.leases:
        lease.close()
    # What nobody holds any more is void: the next one takes all.
    everything = made.lease(WHOLE.cores, WHOLE.mib)
    assert everything is not None
    everything.close()


def test_cores_are_not_promised_twice(host: Host) -> None:
    first = host.lease(3, 1000)
    assert first is not None
    assert host.lease(2, 1000) is None
    assert host.lease(1, 1000) is not None
    first.close()
    assert host.lease(2, 1000) is not None


def test_memory_is_not_promised_twice(host: Host) -> None:
    assert host.lease(1, 5000) is not None
    assert host.lease(1, 3001) is None
    assert host.lease(1, 3000) is not None


def test_a_lease_ends_with_the_process_that_holds_it(host: Host, tmp_path: Path) -> None:
    assert host.lease(4, 1000) is not None
    assert host.lease(1, 1000) is None
    for child in tuple(process._children):
        child.kill()
        child.wait()
    assert host.lease(4, 1000) is not None


def test_a_host_that_cannot_be_asked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RINGBED_SLOTS", str(tmp_path / "file" / "slots"))
    with pytest.raises(HostError, match="no slot can be leased"):
        lease_slot(EMBED, WHOLE, WHOLE, tmp_path / "log")
