# SPDX-License-Identifier: Apache-2.0
"""A trial once more: what stays of an older profile, and what is said of other bytes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import MachineError
from orchestrator.run import determinism, session
from orchestrator.run.directory import RunDirectory
from orchestrator.run.journal import Journal
from orchestrator.run.profile import NotTheSame, _compare, profile


def test_nothing_stays_of_an_older_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the newer one: here its guest does not come up."""
    run = RunDirectory(path=tmp_path / "run")
    run.trial("aa").mkdir(parents=True)
    selection: dict[str, object] = {"overrides": [], "only": [], "repeat": None, "seed": None}
    plan = {"clock": "virtual", "selection": selection, "inputs": {}, "trials": []}
    run.plan.write_text(json.dumps(plan))
    with Journal(run.journal) as journal:
        journal.append("trial-start", trial="aa")
        journal.append("trial-end", trial="aa", outcome="ok")
    place = run.profile("aa")
    (place / "differs").mkdir(parents=True)
    (place / "differs" / "load.json").write_text("{}")
    (place / "flamegraph-gone.svg").write_text("<svg/>")

    def reopen(*_: object) -> SimpleNamespace:
        trials = [SimpleNamespace(id="aa")]
        return SimpleNamespace(plan=SimpleNamespace(trials=trials), supplies=None)

    def make_bench(*_: object) -> None:
        raise MachineError("guest: did not come up", machine="guest")

    monkeypatch.setattr(session, "reopen", reopen)
    monkeypatch.setattr(determinism, "make_bench", make_bench)
    with pytest.raises(MachineError):
        profile(run, "aa", session.Settings(runs_dir=tmp_path), tmp_path / "into")
    assert not place.exists()


def test_other_bytes_are_told_and_kept(tmp_path: Path) -> None:
    run, again = RunDirectory(path=tmp_path), tmp_path / "again"
    for place in (run.trial("aa"), again):
        place.mkdir(parents=True)
        (place / "load.json").write_text("{}")
    _compare(run, "aa", again)
    (again / "load.json").write_text("[]")
    (run.trial("aa") / "server.json").write_text("{}")
    with pytest.raises(NotTheSame) as caught:
        _compare(run, "aa", again)
    said = caught.value.details.splitlines()
    assert said == ["load.json, byte 0", "server.json, in one of the two only"]
    assert (run.profile("aa") / "differs" / "load.json").read_text() == "[]"
