# SPDX-License-Identifier: Apache-2.0
"""The proofs of the dataplane (dataplane/tests/dpos/proofs.py) in a real guest: dpos drives an igb
port, and Linux, or a second dpos, another one on the same hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dataplane_guest import Machinery, config, prove

from orchestrator.host.cbuild import ensure_dataplane
from orchestrator.host.plugin import TURNS, ensure_plugin
from orchestrator.host.trees import ensure_tree
from orchestrator.vm.model import Boot
from orchestrator.vm.sealed import SealedMachine
from orchestrator.vm.snapshots import SnapshotCache

SHORT_S, LONG_S = 1800.0, 4 * 3600.0
PROOFS = ("capture", "churn", "connections", "flood", "interop", "link", "pools")
SMALLEST = ("--bytes=200000", "--connections=200", "--churned=200")


@pytest.fixture(scope="module")
def machinery(boot: Boot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machinery]:
    turns = ensure_plugin(ensure_tree("tools"), TURNS).path
    cache = SnapshotCache(tmp_path_factory.mktemp("snapshots"))
    machine = SealedMachine(
        "guest", config(boot), tools="", turns=turns, token="dataplane", cache=cache
    )
    yield Machinery(machine=machine, programs=ensure_dataplane().path)


@pytest.mark.vm
def test_smallest_forms(machinery: Machinery, tmp_path: Path) -> None:
    found = prove(machinery, tmp_path / "guest", (*SMALLEST, *PROOFS), deadline_s=SHORT_S)
    assert [one["proof"] for one in found] == list(PROOFS)


@pytest.mark.dataplane
def test_short_forms(machinery: Machinery, tmp_path: Path) -> None:
    sizes = ("--bytes=2000000", "--connections=1000", "--churned=2000")
    found = prove(machinery, tmp_path / "guest", (*sizes, *PROOFS), deadline_s=SHORT_S)
    assert [one["proof"] for one in found] == list(PROOFS)


@pytest.mark.dataplane
@pytest.mark.parametrize("proof", PROOFS[1:])
def test_long_form(machinery: Machinery, tmp_path: Path, proof: str) -> None:
    (found,) = prove(machinery, tmp_path / "guest", ("--long", proof), deadline_s=LONG_S)
    assert found["proof"] == proof
