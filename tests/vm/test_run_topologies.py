# SPDX-License-Identifier: Apache-2.0
"""A run whose trials need different machines, and machines that are left up."""

import time
from pathlib import Path

import pytest
from leftovers import Places, Ringbed

from orchestrator.run import directory, journal, stored

pytestmark = pytest.mark.vm

QEMU = "qemu-system-x86_64"


@pytest.fixture
def two_servers(places: Places, tiny: str) -> str:
    """Two trials: the server has one CPU in the first and two in the second."""
    text = Path(tiny).read_text(encoding="utf-8")
    text = text.replace("name: tiny", "name: two-servers")
    text = text.replace("  load: [200]\n", "  load: [200]\n  machines.server.cpus: [1, 2]\n")
    file = places.root / "two-servers.yml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_guests_of_one_topology_are_gone_when_the_next_begins(
    ringbed: Ringbed, places: Places, two_servers: str
) -> None:
    assert places.clean_within(), places.leftovers()
    known = {run.path for run in directory.list_runs(places.runs)}
    command = ringbed.start("run", two_servers)

    def of_group(number: int) -> list[int]:
        """Each group of guests has its links' sockets in a directory of its own."""
        return places.running(QEMU, f"/link/{number}/")

    command.until(lambda: of_group(0), "guests of the first topology")
    command.until(lambda: of_group(1), "guests of the second topology", seconds=180)
    assert not of_group(0)
    done = command.wait(180)
    assert done.code == 0, done.err
    assert places.clean_within(), places.leftovers()

    (run,) = (run for run in directory.list_runs(places.runs) if run.path not in known)
    assert list(journal.progress(run.journal).outcomes.values()) == ["ok", "ok"]
    (session,) = stored.read_manifest(run)["sessions"]
    assert session["outcome"] == "ok"
    starts = session["machines"]
    topologies = list(dict.fromkeys(start["name"].partition("/")[0] for start in starts))
    assert [start["name"] for start in starts] == [
        f"{topology}/{name}" for topology in topologies for name in ("client", "server")
    ]
    processors = [argv[argv.index("-smp") + 1] for argv in (one["qemu_argv"] for one in starts)]
    assert [words.partition(",")[0] for words in processors] == ["1", "1", "1", "2"]


def masters(places: Places) -> list[int]:
    """ssh writes the title of a master as "ssh: <socket> [mux]"."""
    return places.running("ssh:") + places.running("ssh")


def test_machines_that_stay_up_keep_no_connection(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    """The playbook's ssh masters end with it, long before they would by themselves."""
    done = ringbed("vm", "up", tiny, seconds=180)
    assert done.code == 0, done.err
    try:
        assert len(places.guests()) == 2
        # A master that was told to end takes a moment; left alone it would take half a minute.
        end = time.monotonic() + 10
        while masters(places) and time.monotonic() < end:
            time.sleep(0.05)
        assert not masters(places)
    finally:
        assert ringbed("vm", "down").code == 0
    assert places.clean_within(), places.leftovers()


def test_machines_that_stay_up_need_memory_too(ringbed: Ringbed, tiny: str) -> None:
    done = ringbed("vm", "up", tiny, "--set", "machines.server.memory=900GiB")
    assert done.code == 3, done.err
    assert "MiB of memory" in done.err
    assert "hint: " in done.err
