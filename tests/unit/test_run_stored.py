# SPDX-License-Identifier: Apache-2.0
"""What a run keeps about itself: written whole, read back with care."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator import paths
from orchestrator.cli import status
from orchestrator.errors import UsageError
from orchestrator.host import durable
from orchestrator.run import directory, manifest, session, stored
from orchestrator.run.directory import RunDirectory
from orchestrator.run.execute import GuestBench
from orchestrator.run.journal import Journal
from orchestrator.run.manifest import Manifest
from orchestrator.run.session import Settings, Watcher

PLAN: dict[str, Any] = {
    "selection": {"overrides": [], "only": [], "repeat": None, "seed": 3},
    "inputs": {"image": "1"},
    "trials": [{}, {}],
}
MANIFEST: dict[str, Any] = {"ended": None, "outcome": "unfinished", "machines": {}, "sessions": []}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("RINGBED_STATE", str(tmp_path / "state"))
    with directory.create(tmp_path / "runs", "demo") as made, Journal(made.journal) as journal:
        durable.write_json(made.plan, PLAN)
        durable.write_json(made.manifest, MANIFEST)
        journal.append("run-start")
        journal.append("trial-start", trial="a")
        journal.append("trial-end", trial="a", outcome="ok")
        return made


def test_what_was_written_is_read(run: RunDirectory) -> None:
    assert stored.read_plan(run) == PLAN
    assert stored.read_manifest(run) == MANIFEST
    assert not list(run.path.glob("*.new"))


@pytest.mark.parametrize("name", ["plan.json", "manifest.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no"),
        ("", "has a damaged"),
        ('{"selection": {"over', "has a damaged"),
        ("\0" * 64, "has a damaged"),
        ("[]", "has a damaged"),
        ("{}", "has a damaged"),
    ],
)
def test_a_run_without_its_plan_cannot_go_on(
    run: RunDirectory, name: str, text: str | None, message: str
) -> None:
    file = run.path / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    settings = Settings(runs_dir=run.path.parent, command=("ringbed",))
    with pytest.raises(UsageError, match=f"{run.name} {message} {name}") as caught:
        session.resume(run, settings, cast(Watcher, None))
    assert "start it anew: ./ringbed run " in caught.value.hint
    assert run.state() == "crashed"
    told = status.summary(run)
    assert (told["state"], told["done"]) == ("crashed", 1)
    if name == "plan.json":
        assert told["trials"] is None
        assert [message in sentence for sentence in told["damaged"]] == [True]


def test_a_plan_that_lacks_a_part_is_damaged(run: RunDirectory) -> None:
    durable.write_json(run.plan, PLAN | {"selection": {"overrides": []}})
    with pytest.raises(UsageError, match="'only' is not what it must be"):
        stored.read_plan(run)


def test_a_run_that_has_just_begun_is_not_damaged(run: RunDirectory) -> None:
    run.plan.unlink()
    with run.locked():
        assert status.summary(run)["damaged"] == []


def test_a_spoilt_journal_is_told_and_hides_nothing_else(run: RunDirectory) -> None:
    run.journal.write_text("rubbish\n{}\n")
    told = status.summary(run)
    assert (told["state"], told["trials"]) == ("damaged", 2)
    assert "journal.jsonl:1" in told["damaged"][0]


def bed(how: str) -> GuestBench:
    told = {"role": "client", "boot": {"how": how, "seconds": 1.0}, "qemu_argv": ["qemu", how]}
    made = SimpleNamespace(topology=SimpleNamespace(id="t"), describe=lambda: {"client": told})
    return cast(GuestBench, made)


def test_every_session_and_every_start_of_a_guest_is_kept(run: RunDirectory) -> None:
    written = Manifest(run, stored.read_manifest(run))
    written.begin_session(["ringbed", "run"], {})
    written.add_bench(bed("cold"))
    written.add_bench(bed("snapshot"))
    # That process was killed; another one goes on.
    again = Manifest(run, stored.read_manifest(run))
    again.resume(["ringbed", "resume"])
    assert stored.read_manifest(run)["outcome"] == "unfinished"
    again.add_bench(bed("cold"))
    again.end("ok")
    found = stored.read_manifest(run)
    assert found["outcome"] == "ok"
    assert found["machines"]["t/client"]["qemu_argv"] == ["qemu", "cold"]
    first, second = found["sessions"]
    assert (first["command"], first["ended"], first["outcome"]) == ("ringbed run", None, "crashed")
    assert [entry["boot"]["how"] for entry in first["machines"]] == ["cold", "snapshot"]
    assert (second["command"], second["outcome"]) == ("ringbed resume", "ok")
    assert second["ended"]
    assert [(entry["name"], entry["qemu_argv"]) for entry in second["machines"]] == [
        ("t/client", ["qemu", "cold"])
    ]


def test_what_trials_set_for_themselves_is_in_the_manifest(run: RunDirectory) -> None:
    nic = {"link0": {"pci": "0000:01:00.0", "driver": "vfio-pci", "iommu_group": 7}}
    trial = run.trials / "abc"
    trial.mkdir(parents=True)
    (trial / "server-nic.json").write_text(json.dumps(nic))
    (trial / "server-pages.json").write_text("{")
    written = Manifest(run, stored.read_manifest(run))
    written.begin_session(["ringbed", "run"], {})
    written.end("ok")
    assert stored.read_manifest(run)["trial_readback"] == {"abc": {"server-nic": nic}}


# The tools tree has it; a Python of one's own may run without.
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "code.py").write_text("one\n")
    (root / ".gitignore").write_text("*.log\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    monkeypatch.setattr(paths, "PROJECT", root)
    return root


@needs_git
def test_a_clean_checkout_is_clean(checkout: Path, tmp_path: Path) -> None:
    (checkout / "run.log").write_text("ignored")
    (checkout / "notes.md").write_text("prose")
    found = manifest.source_state(tmp_path, 1)
    assert len(found["commit"]) == 40
    assert (found["dirty"], found["diff"], found["untracked"]) == (False, "", [])


@needs_git
def test_changes_and_unknown_files_make_it_dirty(checkout: Path, tmp_path: Path) -> None:
    (checkout / "new file.py").write_text("two\n")
    found = manifest.source_state(tmp_path, 1)
    assert (found["dirty"], found["diff"], found["untracked"]) == (True, "", ["new file.py"])
    (checkout / "code.py").write_text("three\n")
    assert manifest.source_state(tmp_path, 2)["diff"] == "dirty-2.diff"
    assert "+three" in (tmp_path / "dirty-2.diff").read_text()


def test_an_archive_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    assert manifest.source_state(tmp_path, 1)["commit"] == ""
