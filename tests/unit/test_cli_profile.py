# SPDX-License-Identifier: Apache-2.0
"""Which trial `ringbed profile` takes, and which it refuses before it repeats any."""

import json
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, load_json

from orchestrator.analysis.profile import Profile, Tree
from orchestrator.cli import main, profile
from orchestrator.cli.profile import _check, _find
from orchestrator.errors import ExitCode, UsageError
from orchestrator.report import profile as views
from orchestrator.run.directory import RunDirectory
from orchestrator.run.journal import Journal


def make_run(root: Path, *trials: str, generator: str = "rbload") -> RunDirectory:
    run = RunDirectory(path=root / "20260101T000000Z-demo-4f2a1c")
    entries = [
        {
            "id": trial,
            "variant": "one",
            "kind": "measure",
            "repetition": 1,
            "axes": {"load": "4000"},
            "generator": generator,
        }
        for trial in trials
    ]
    for trial in trials:
        run.trial(trial).mkdir(parents=True)
    run.manifest.write_text(json.dumps({"machines": {}, "sessions": [], "trials": entries}))
    with Journal(run.journal) as journal:
        for trial in trials:
            journal.append("trial-start", trial=trial)
            journal.append("trial-end", trial=trial, outcome="ok")
    return run


@pytest.mark.parametrize("form", ["{path}", "{path}/", "{name}", "{name}/", "demo", "latest"])
def test_a_run_with_one_trial_needs_no_name_of_it(tmp_path: Path, form: str) -> None:
    run = make_run(tmp_path, "aa")
    assert _find(tmp_path, form.format(path=run.path, name=run.name)) == (run, "aa")
    assert _find(tmp_path, form.format(path=run.path, name=run.name).rstrip("/") + "/aa/") == (
        run,
        "aa",
    )


@pytest.mark.parametrize("form", ["{path}", "{name}/"])
def test_a_run_with_more_trials_is_asked_which(tmp_path: Path, form: str) -> None:
    run = make_run(tmp_path, "aa", "bb")
    with pytest.raises(UsageError, match="has 2 trials: name one") as caught:
        _find(tmp_path, form.format(path=run.path, name=run.name))
    assert "bb  one load=4000 #1 measure" in caught.value.details
    with pytest.raises(UsageError, match="has no trial cc"):
        _find(tmp_path, f"{run.path}/cc")


def write(run: RunDirectory, measured: int, load: dict[str, Any] | None) -> None:
    """A trial's raw files. load: load.json, if there is one."""
    domains = {"user": measured, "kernel": 0, "ring0": 0}
    cpus = [{"cpu": 1, "machine": "server", "polls": False, "phases": {"measured": domains}}]
    counted = {"schema": 1, "cpus": cpus}
    (run.trial("aa") / "instructions.json").write_text(json.dumps(counted))
    if load is not None:
        (run.trial("aa") / "load.json").write_text(json.dumps(load))


def test_a_trial_without_phases_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, "aa", generator="memcslap")
    write(run, 0, None)
    with pytest.raises(UsageError, match="the load generator memcslap marks no phases") as caught:
        _check(run, "aa", "")
    assert "rbload" in caught.value.hint


def test_a_trial_without_answers_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, "aa")
    load = load_json(QUICKSTART[0], 500.0, 1, {})
    write(run, 1000, load)
    _check(run, "aa", "server")
    with pytest.raises(UsageError, match="no machine 'house'"):
        _check(run, "aa", "house")
    write(run, 1000, {**load, "completed": 0})
    with pytest.raises(UsageError, match="no request of trial aa was answered") as caught:
        _check(run, "aa", "")
    assert "rbload" in caught.value.hint


def test_a_profile_is_written_while_the_run_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "aa")
    held = []
    about = {"run": run.name, "trial": "aa", "label": "one", "seconds": 1.0}
    empty = Profile(tree=Tree(), machines={"server": (1,)}, requests=1)

    def measure(run: RunDirectory, *_: object) -> tuple[Profile, dict[str, Any], str]:
        held.append(run.is_running())
        return empty, about, "server"

    def write(*_: object) -> dict[str, Path]:
        held.append(run.is_running())
        return {}

    monkeypatch.setattr(profile, "_measure", measure)
    monkeypatch.setattr(views, "write_profile", write)
    assert main.invoke(["profile", f"{run.path}/aa", "--json"]) == ExitCode.OK
    assert held == [True, True]
    assert not run.is_running()
