# SPDX-License-Identifier: Apache-2.0
"""Whole runs through the command line, on real guests, as small as a run can be."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from leftovers import Command, Places, Ringbed

from orchestrator.run import directory, journal
from orchestrator.run.directory import RunDirectory

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def first(ringbed: Ringbed, places: Places, tiny: str) -> RunDirectory:
    """The first run, which boots its guests from cold and leaves snapshots of them."""
    # Other tests may have left snapshots of the same guests.
    shutil.rmtree(places.cache / "snapshots", ignore_errors=True)
    done = ringbed("run", tiny, "--json", seconds=240)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["state"] == "finished"
    return RunDirectory(path=Path(told["path"]))


def manifest(run: RunDirectory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.manifest.read_text(encoding="utf-8"))
    return found


def ports(run: RunDirectory) -> set[str]:
    """The ssh ports of the guests, from what QEMU's management network was told."""
    texts = [path.read_text("utf-8") for path in run.machines.glob("*/domain.xml")]
    return {match for text in texts for match in re.findall(r"<range start='(\d+)' to='22'", text)}


def tokens(run: RunDirectory) -> set[str]:
    """The tokens of runs in the sockets and files that QEMU was given."""
    argv = json.dumps([machine["qemu_argv"] for machine in manifest(run)["machines"].values()])
    return set(re.findall(r"/state/([a-z0-9]{10})/", argv))


def test_a_run_leaves_its_results_and_nothing_else(first: RunDirectory, places: Places) -> None:
    assert places.clean_within(), places.leftovers()
    for path in (first.manifest, first.journal, first.log, first.experiment, first.report):
        assert path.stat().st_size > 0
    for name in ("results.parquet", "results.csv"):
        assert (first.path / name).stat().st_size > 0
    found = manifest(first)
    assert found["outcome"] == "ok"
    assert {machine["boot"]["how"] for machine in found["machines"].values()} == {"cold"}
    progress = journal.progress(first.journal)
    assert (progress.ended, list(progress.outcomes.values())) == ("ok", ["ok"])
    (trial,) = progress.done
    load = json.loads((first.trial(trial) / "load.json").read_text())
    assert load["completed"] > 0
    assert {path.name for path in first.machines.glob("*/console.log")} == {"console.log"}


def test_status_and_report_of_a_run(first: RunDirectory, ringbed: Ringbed) -> None:
    told = json.loads(ringbed("status", "latest", "--json").out)
    assert (told["state"], told["done"], told["failed"]) == ("finished", 1, 0)
    first.report.unlink()
    done = ringbed("report", first.name)
    assert done.code == 0, done.err
    assert first.report.stat().st_size > 0


def test_a_run_is_the_same_as_itself(first: RunDirectory, ringbed: Ringbed) -> None:
    done = ringbed("compare", first.name, first.name, "--json")
    # One repetition gives no interval, so that nothing can be decided about it.
    assert done.code in (0, 4), done.err
    rows = [row for row in json.loads(done.out)["rows"] if row["metric"] == "achieved_rps"]
    assert [row["verdict"] for row in rows] in (["same"], ["inconclusive"])


def test_two_runs_and_leased_machines_at_the_same_time(
    first: RunDirectory, ringbed: Ringbed, places: Places, tiny: str
) -> None:
    """Machines that were left up outlive two runs that start, work and end beside each other."""
    done = ringbed("vm", "up", tiny)
    assert done.code == 0, done.err
    (lease,) = json.loads(ringbed("vm", "list", "--json").out)
    assert {machine["name"]: machine["alive"] for machine in lease["machines"]} == {
        "client": True,
        "server": True,
    }

    known = {run.path for run in directory.list_runs(places.runs)}
    commands = [ringbed.start("run", tiny, "--repeat", "2"), ringbed.start("run", tiny)]
    _wait_until_both_measure(commands, places, known)
    for command in commands:
        done = command.wait(180)
        assert done.code == 0, done.err
    one, two = (run for run in directory.list_runs(places.runs) if run.path not in known)
    assert not tokens(one) & tokens(two)
    assert len(ports(one) | ports(two)) == 4
    for run in (one, two):
        boots = [machine["boot"]["how"] for machine in manifest(run)["machines"].values()]
        assert boots == ["snapshot", "snapshot"]

    done = ringbed("vm", "ssh", "server", "--", "hostname")
    assert (done.code, done.out) == (0, "server\n"), done.err
    assert ringbed("vm", "down").code == 0
    assert ringbed("vm", "list", "--json").out.strip() == "[]"
    assert places.clean_within(), places.leftovers()


def _wait_until_both_measure(commands: list[Command], places: Places, known: set[Path]) -> None:
    """Both have a run directory before either has ended: they really overlap."""

    def new() -> bool:
        return len({run.path for run in directory.list_runs(places.runs)} - known) == 2

    commands[0].until(new, "both runs have begun")
