# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.run import directory, journal
from orchestrator.run.directory import RunDirectory
from orchestrator.run.journal import Journal


def create(root: Path, name: str) -> RunDirectory:
    with directory.create(root, name) as run:
        return run


def test_what_ended_is_done_and_what_started_is_under_way(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as j:
        j.append("run-start")
        j.append("trial-start", trial="a")
        j.append("trial-end", trial="a", outcome="ok", seconds=1.5)
        j.append("trial-start", trial="b")
        j.append("trial-end", trial="b", outcome="failed", reason="no answer")
        j.append("trial-start", trial="c")
    found = journal.progress(path)
    assert found.done == {"a"}
    assert found.under_way == {"c"}
    assert found.reasons["b"] == "no answer"
    assert found.seconds["a"] == 1.5
    assert found.ended == ""


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_cut_short_by_a_crash_is_ignored(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as j:
        j.append("trial-start", trial="a")
        j.append("trial-end", trial="a", outcome="ok")
        whole = path.read_bytes()
        j.append("trial-start", trial="b")
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert journal.progress(path).done == {"a"}
    with Journal(path) as j:
        j.append("run-resume")
        j.append("trial-start", trial="b")
        j.append("trial-end", trial="b", outcome="ok")
        j.append("run-end", outcome="ok")
    found = journal.progress(path)
    assert found.done == {"a", "b"}
    assert found.ended == "ok"


@pytest.mark.parametrize("spoilt", ["rubbish", "null", "[1]", '{"event": "x"}'])
def test_a_spoilt_line_in_the_middle_is_an_error(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"time": 1, "event": "run-start"}}\n{spoilt}\n{{"time": 2, "event": "x"}}\n')
    with pytest.raises(InfrastructureError, match="journal.jsonl:2"):
        journal.progress(path)


def test_a_trial_that_is_run_again_counts_as_its_last_outcome(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as j:
        j.append("trial-start", trial="a")
        j.append("trial-end", trial="a", outcome="ok")
        j.append("trial-start", trial="a")
    assert journal.progress(path).done == frozenset()


def test_a_run_is_found_by_name_suffix_path_and_latest(tmp_path: Path) -> None:
    first = create(tmp_path, "one")
    second = create(tmp_path, "two")
    runs = {run.name for run in directory.list_runs(tmp_path)}
    assert runs == {first.name, second.name}
    assert directory.find(tmp_path, first.name) == first
    assert directory.find(tmp_path, first.name[-6:]) == first
    assert directory.find(tmp_path, str(second.path)).path == second.path
    assert directory.find(tmp_path).name == sorted(runs)[-1]
    newer = directory.RunDirectory(path=tmp_path / "99991231T235959Z-one-more-abcdef")
    newer.trials.mkdir(parents=True)
    newest = directory.RunDirectory(path=tmp_path / "99991231T235959Z-one-fedcba")
    newest.trials.mkdir(parents=True)
    assert directory.find(tmp_path, "one") == newest
    assert directory.find(tmp_path, "one-more") == newer
    with pytest.raises(UsageError, match="no run is called 'three'"):
        directory.find(tmp_path, "three")


def test_no_runs_yet_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs in") as caught:
        directory.find(tmp_path / "absent")
    assert "ringbed run" in caught.value.hint


def test_a_locked_run_is_running_and_refuses_a_second_process(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    assert run.state() == "new"
    with run.locked():
        assert run.state() == "running"
        with pytest.raises(UsageError, match="another process"), run.locked():
            pass
    assert not run.is_running()


def test_a_look_at_a_run_keeps_nobody_from_beginning_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process begins in the middle of the look, and the look in the middle of a run."""
    run = create(tmp_path, "one")
    begun = []
    close = os.close

    def begin_meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "close", close)
        with run.locked():
            begun.append(run.is_running())
        close(descriptor)

    monkeypatch.setattr(os, "close", begin_meanwhile)
    assert not run.is_running()
    assert begun == [True]


def test_a_new_run_is_held_before_anybody_finds_it(tmp_path: Path) -> None:
    with directory.create(tmp_path, "one") as run:
        assert directory.find(tmp_path) == run
        with pytest.raises(UsageError, match="another process"), run.locked():
            pass
    held_only = tmp_path / "20260101T000000Z-two-000000"
    held_only.mkdir()
    assert directory.list_runs(tmp_path) == [run]


def test_a_run_whose_journal_is_spoilt_says_so(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    run.journal.write_text("rubbish\n{}\n")
    assert run.state() == "damaged"


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with run.locked(), Journal(run.journal) as j:
            j.append("run-start")
            os.write(told, b"x")
            os.kill(os.getpid(), 9)
    os.read(ready, 1)
    os.waitpid(child, 0)
    assert run.state() == "crashed"
    os.close(ready)
    os.close(told)


def test_states_of_an_ended_run(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    for outcome, state in (("ok", "finished"), ("failed", "failed"), ("interrupted",) * 2):
        with Journal(run.journal) as j:
            j.append("run-end", outcome=outcome)
        assert run.state() == state
