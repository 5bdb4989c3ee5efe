# SPDX-License-Identifier: Apache-2.0
"""Two cores of the dataplane, each with a queue of the NIC: the connections of one are the other's
at no time, whoever spreads them."""

import json
from pathlib import Path
from typing import Any

import pytest
from leftovers import Places, Ringbed
from repeated import ONE_EACH, directory

from orchestrator.analysis.instructions import read_instructions

pytestmark = pytest.mark.vm

TWO = (
    *("--only", "ix", "--only", "options.threads=2", "--set", "workload.threads=2"),
    *("--set", "workload.connections=64", "--set", "duration=5ms"),
)
CONNECTIONS = 64


def cores(trial: Path, counters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((trial / counters).read_text())["cores"]
    return found


def test_the_device_spreads_connections_as_dpos_computes_it(
    ringbed: Ringbed, places: Places
) -> None:
    done = ringbed("run", "ix-cores", "--json", *TWO, *ONE_EACH, seconds=600)
    assert done.code == 0, done.err
    (trial,) = directory(done.out).trials.iterdir()
    load = json.loads((trial / "load.json").read_text())
    assert load["valid"], load["reasons"]
    assert not any(load["errors"].values())
    accepted = 0
    for counters in ("dpos.json", "client-dpos.json"):
        both = cores(trial, counters)
        assert len(both) == 2
        for core in both:
            # The hash of the device, and nobody else, has brought each packet to its core: what
            # goes to the other one finds no connection there, and is answered by a reset. What
            # concerns both, such as ARP, is shared.
            assert core["net"]["tcp_in"] > CONNECTIONS
            assert core["queue"]["handed_over"] == core["queue"]["shared"]
            assert core["net"]["tcp_resets_out"] == core["net"]["tcp_retransmitted"] == 0
        # Source ports were chosen so that answers come back to the core that opened.
        accepted = accepted or sum(core["application"]["accepted"] for core in both)
    assert accepted == CONNECTIONS
    shares = [core["application"]["accepted"] for core in cores(trial, "dpos.json")]
    assert min(shares) >= CONNECTIONS // 4, shares
    # Nor do the two ever wait for each other: no instruction of theirs was locked.
    counted = read_instructions(trial / "instructions.json")
    for cpu in counted.cpus:
        assert cpu.atomics["locked"].measured["user"] == 0, cpu
    assert sum(cpu.turns > 0 for cpu in counted.cpus if cpu.machine == "server") == 2
    assert places.clean_within(), places.leftovers()
