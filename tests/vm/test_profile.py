# SPDX-License-Identifier: Apache-2.0
"""Profiles of real guests: nothing changes by being watched, nothing is lost, names are right."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from leftovers import Places, Ringbed

from orchestrator.analysis.instructions import DOMAINS, read_instructions
from orchestrator.host import plugin
from orchestrator.host.trees import ensure_tree
from orchestrator.run.directory import RunDirectory

pytestmark = pytest.mark.vm

OPTIONS = ("--set", "clock=virtual", "--set", "duration=50ms", "--set", "matrix.load=[4000]")


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """What the first run would build, before anything has a deadline."""
    for name in plugin.PARTS:
        plugin.ensure_plugin(ensure_tree("tools"), name)


def test_a_profile_is_exact_and_changes_nothing(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    done = ringbed("run", tiny, "--json", *OPTIONS, seconds=400)
    assert done.code == 0, done.err
    run = RunDirectory(path=Path(json.loads(done.out)["path"]))
    (trial,) = run.trials.iterdir()
    # Exit code 0 means that the trial under the plugin gave the same bytes.
    done = ringbed("profile", f"{run.path}/{trial.name}", "--json", seconds=400)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    _check_sums(told, trial)
    _check_names(told)
    _check_files(run.profile(trial.name), told)
    # Had it given others, it would say so.
    load = json.loads((trial / "load.json").read_text())
    (trial / "load.json").write_text(json.dumps(load))
    done = ringbed("profile", f"{run.path}/{trial.name}", seconds=400)
    assert done.code == 1
    assert "gave other bytes than when it was measured" in done.err
    assert "load.json, byte" in done.err
    assert places.clean_within(), places.leftovers()


def _check_sums(told: dict[str, Any], trial: Path) -> None:
    counted = read_instructions(trial / "instructions.json")
    sums: Counter[tuple[str, str]] = Counter()
    for row in told["functions"]:
        sums[row["machine"], row["domain"]] += row["self"]
    for machine in ("client", "server", "house"):
        for domain in DOMAINS:
            assert sums[machine, domain] == counted.of(machine, domain)


def _check_names(told: dict[str, Any]) -> None:
    mine = {
        (row["function"], row["object"]): row
        for row in told["functions"]
        if row["machine"] == "server"
    }
    requests = told["requests"]
    for name in ("tcp_sendmsg", "tcp_v4_rcv", "do_syscall_64"):
        assert mine[name, "kernel"]["domain"] == "kernel"
        assert mine[name, "kernel"]["total"] > 100 * requests
    assert mine["igb_poll", "[igb]"]["self"] > 0
    # The C library is in the program.
    assert mine["send", "rb-echo"]["total"] > mine["tcp_sendmsg", "kernel"]["total"] * 0.9
    # A thread's function is never inlined into another.
    worker = mine["run_worker", "rb-echo"]
    assert worker["domain"] == "user"
    # What Linux does for the server hangs below it.
    assert worker["total"] > mine["tcp_sendmsg", "kernel"]["total"]
    assert told["machines"]["server"]["unknown_share"] < 0.005
    assert told["machines"]["client"]["unknown_share"] < 0.005


def _check_files(place: Path, told: dict[str, Any]) -> None:
    for machine in ("client", "server"):
        lines = (place / f"folded-{machine}.txt").read_text().splitlines()
        counts = [int(line.rpartition(" ")[2]) for line in lines]
        assert sum(counts) == told["machines"][machine]["instructions"]
        assert any(";send;" in line and ";tcp_sendmsg;" in line for line in lines)
        # Interrupts begin stacks, wherever they came.
        assert not any(";asm_common_interrupt" in line for line in lines)
        assert "tcp_sendmsg" in (place / f"flamegraph-{machine}.svg").read_text()
    assert not (place / "differs").exists()
