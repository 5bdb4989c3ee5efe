# SPDX-License-Identifier: Apache-2.0
"""The files of a profile, and what the terminal shows of it."""

import csv
import json
from pathlib import Path

import pytest

from orchestrator.analysis.profile import Frame, Profile, Tree
from orchestrator.analysis.symbols import KERNEL, Function
from orchestrator.cli import output
from orchestrator.cli.profile import _show
from orchestrator.report.profile import POLLS, to_json, write_profile

POLL = Frame(Function("poll", "dpdk-testpmd"), 0)
SEND = Frame(Function("tcp_sendmsg", KERNEL), 1)
ABOUT = {"run": "r", "trial": "t", "label": "testpmd", "seconds": 1.0}


def make() -> Profile:
    """A server of two CPUs that polls and a client that does not; 20 requests."""
    tree = Tree()
    tree.below(POLL).own.update({1: 4000, 2: 3000})
    tree.below(SEND).own.update({3: 100})
    machines = {"server": (1, 2), "client": (3,)}
    return Profile(tree=tree, machines=machines, requests=20, polling=frozenset({"server"}))


def test_a_machine_that_polls_has_nothing_per_request(tmp_path: Path) -> None:
    graphs = write_profile(tmp_path, make(), ABOUT)
    told = json.loads((tmp_path / "profile.json").read_text(), parse_constant=pytest.fail)
    assert told == to_json(make(), ABOUT)
    assert told["machines"]["server"]["polls"] and not told["machines"]["client"]["polls"]
    rows = {row["machine"]: row for row in told["functions"]}
    assert rows["server"]["self"] == 7000
    assert rows["server"]["self_per_request"] is rows["server"]["total_per_request"] is None
    assert rows["client"]["self_per_request"] == rows["client"]["total_per_request"] == 5
    with (tmp_path / "profile.csv").open() as file:
        cells = {(row["machine"], row["self_per_request"]) for row in csv.DictReader(file)}
    assert cells == {("server", ""), ("client", "5.0")}
    server, client = (graphs[name].read_text() for name in ("server", "client"))
    assert POLLS in server and "5.00 per request" not in server and "350" not in server
    assert "5.000 per request (20 requests)" in client and POLLS not in client


def test_the_terminal_says_why_a_machine_has_nothing_per_request(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "_width", 200)
    _show(make(), "server", ABOUT, "", 5)
    shown = capfd.readouterr().out
    assert f"server {POLLS}" in shown
    assert "7,000" in shown and "350" not in shown
    _show(make(), "client", ABOUT, "", 5)
    assert "5.000 instructions (20 requests)" in capfd.readouterr().out
