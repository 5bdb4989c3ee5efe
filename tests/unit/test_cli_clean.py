# SPDX-License-Identifier: Apache-2.0
"""`ringbed clean` on a real cache in a directory of its own."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.cli import clean, main, output, space
from orchestrator.errors import ExitCode
from orchestrator.host import trees
from orchestrator.host.owned import OwnerLock
from orchestrator.run import directory
from orchestrator.run.journal import Journal
from orchestrator.vm.state import LEASE, RunState

MIB = 1 << 20
PLACES = (
    "apt/trixie/lists",
    "build/0123",
    "checks/mypy",
    "images/guest-1",
    "packages/a.deb",
    "snapshots/s1",
    "trees/build-1",
    "trees/tools-1",
    "trees/tools-2",
    "venv/v1",
    "venv/v2",
    "what-a-later-version-made/x",
)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An own cache, with one MiB in each of PLACES; this process runs on tools-1 and v1."""
    for name in ("CACHE", "STATE", "DATA"):
        monkeypatch.setenv(f"RINGBED_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("RINGBED_TOOLS", str(tmp_path / "cache/trees/tools-1"))
    monkeypatch.setenv("RINGBED_VENV", str(tmp_path / "cache/venv/v1"))
    monkeypatch.chdir(tmp_path)
    for stream in (output.out, output.err):
        monkeypatch.setattr(stream, "_width", 160)
    for place in PLACES:
        (tmp_path / "cache" / place).mkdir(parents=True)
        (tmp_path / "cache" / place / "file").write_bytes(os.urandom(MIB))
    yield tmp_path
    output.set_up(verbosity=0, quiet=False)


def left(root: Path) -> set[str]:
    cache = root / "cache"
    return {str(path.relative_to(cache).parent) for path in cache.rglob("file")}


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.invoke(["clean", *words])
    out, err = capfd.readouterr()
    return int(code), out, err


def as_real(dry: str) -> list[str]:
    """The words of a dry run as those of a real one; the title may change a table's width."""
    return dry.replace("would remove", "removed").replace("would free", "freed").split()


def test_without_options_no_cache_is_touched(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capfd)
    assert code == ExitCode.OK
    assert "no killed run left anything behind" in out
    assert left(places) == set(PLACES)


def test_caches_keep_downloads_and_what_runs_this(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capfd, "--caches")
    assert code == ExitCode.OK
    kept = {"apt/trixie/lists", "packages/a.deb", "venv/v1", "venv/v2", "trees/tools-1"}
    assert left(places) == kept
    assert "rm -rf" not in out


def test_all_keeps_what_runs_this_and_says_how_to_remove_it(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capfd, "--all")
    assert code == ExitCode.OK
    assert left(places) == {"venv/v1", "trees/tools-1"}
    command = next(line for line in out.splitlines() if line.startswith("  rm -rf "))
    subprocess.run(["sh", "-c", command], check=True)
    assert left(places) == set()


def test_a_dry_run_tells_exactly_what_the_real_one_does(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, dry, _ = call(capfd, "--all", "--dry-run")
    assert left(places) == set(PLACES)
    _, real, _ = call(capfd, "--all")
    assert as_real(dry) == real.split()
    assert "freed 10 MiB" in real
    assert sum(line.startswith("trees") for line in real.splitlines()) == 1


def test_verbose_names_every_entry(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output.set_up(verbosity=1, quiet=False)
    code = main.invoke(["-v", "clean", "--caches", "-n"])
    out, _ = capfd.readouterr()
    assert code == ExitCode.OK
    assert f"{places / 'cache/trees/tools-2'}  1.0 MiB" in out


def refused(capfd: pytest.CaptureFixture[str], root: Path, *names: str) -> None:
    for words in (("--caches",), ("--all",), ("--all", "--dry-run")):
        code, _, err = call(capfd, *words)
        assert code == ExitCode.USAGE
        assert "error: the caches are in use" in err
        assert "hint: " in err
        for name in names:
            assert name in err
    assert left(root) == set(PLACES)


def test_refused_while_a_run_lives(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(places / "runs", "crashed")
    with run.locked(), RunState("a123456789", "embed"):
        refused(capfd, places, "a123456789", run.name)
    assert call(capfd, "--all")[0] == ExitCode.OK


def test_refused_while_machines_are_up(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = places / "state" / "b123456789"
    state.mkdir(parents=True)
    lock = OwnerLock(state)
    assert lock.take()
    lock.release()
    machine = {"name": "server", "ssh_port": 1, "pid": 0}
    consoles = {"console_log": "/nowhere/log", "console_socket": "/nowhere/socket"}
    lease = {"token": "b123456789", "purpose": "quickstart", "created": 0.0, "connect": "embed"}
    text = json.dumps({"version": 1, **lease, "machines": [{**machine, **consoles}]})
    (state / LEASE).write_text(text)
    refused(capfd, places, "b123456789", "server", "quickstart")


def test_refused_while_another_ringbed_uses_the_caches(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with clean.caches_in_use():
        refused(capfd, places, "another ringbed is at work")
    with (paths.cache("trees", ".build.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(capfd, places, ".build.lock")


def make_run(root: Path, state: str) -> directory.RunDirectory:
    run = directory.RunDirectory(
        path=root / f"20260101T000000Z-{state}-{len(list(root.glob('*')))}"
    )
    run.trial("").mkdir(parents=True)
    if state != "new":
        with Journal(run.journal) as journal:
            journal.append("run-start")
            if state != "crashed":
                outcome = "ok" if state == "finished" else state
                journal.append("run-end", outcome=outcome)
    return run


def test_runs_that_did_not_finish(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = places / "runs"
    runs = {
        state: make_run(root, state)
        for state in ("crashed", "interrupted", "failed", "new", "finished")
    }
    old = make_run(root, "new")
    os.utime(old.path, (time.time() - 3600,) * 2)
    live = make_run(root, "failed")
    with live.locked():
        _, dry, _ = call(capfd, "--runs", "--dry-run")
        assert len(list(root.iterdir())) == 7
        code, out, err = call(capfd, "--runs")
    assert code == ExitCode.OK
    assert as_real(dry) == out.split()
    assert {path.name for path in root.iterdir()} == {
        runs["new"].name,
        runs["finished"].name,
        live.name,
    }
    assert f"{runs['new'].name} stays: it may be about to begin" in err


def test_a_file_with_two_names_counts_once(places: Path) -> None:
    one = places / "cache" / "trees" / "build-1" / "file"
    os.link(one, one.with_name("again"))
    taken = space.disk_usage(one.parent)
    assert MIB <= taken < MIB + 65536


def test_the_copy_in_use_is_told_from_older_ones(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trees_dir, current = places / "cache" / "trees", trees.tree_path("stress")
    for place in (current, trees_dir / "stress-0123456789abcdef"):
        place.mkdir(parents=True)
        (place / "own").write_bytes(os.urandom(MIB))
    (current / "shared").write_bytes(os.urandom(2 * MIB))
    os.link(current / "shared", trees_dir / "stress-0123456789abcdef" / "shared")
    assert main.invoke(["image", "list", "--json"]) == ExitCode.OK
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    stress = rows["stress"]
    assert stress["current"] == str(current) and len(stress["cached"]) == 2
    # What both copies have counts once, as it is on the disk once.
    assert stress["current_bytes"] // MIB == 3 and stress["bytes"] // MIB == 4
    assert (rows["slurm"]["current"], rows["slurm"]["cached"]) == ("", [])
    assert main.invoke(["image", "list"]) == ExitCode.OK
    out = capfd.readouterr().out
    assert re.search(r"stress +tree +\d+ +3.0 MiB +1, 1.0 MiB", out)
    assert re.search(r"slurm +tree +\d+ +not built +–", out)
    assert re.search(r"tools +tree +\d+ +not built +2, 2.\d MiB", out)


def test_a_link_is_removed_and_not_followed(
    places: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outside = places / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (places / "cache" / "build" / "link").symlink_to(outside)
    (places / "cache" / "link").symlink_to(outside)
    assert call(capfd, "--all")[0] == ExitCode.OK
    assert (outside / "precious").exists()
    assert not (places / "cache" / "link").is_symlink()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root may mount"
)
def test_what_is_mounted_in_the_cache_is_left_alone(places: Path) -> None:
    outside = places / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(os.urandom(4 * MIB))
    # A bind mount has the device number of the cache; the tmpfs has another one.
    bound, tmpfs = (places / "cache" / "build" / name for name in ("bound", "tmpfs"))
    bound.mkdir()
    tmpfs.mkdir()
    script = f"""
        mount --bind {outside} {bound} && mount -t tmpfs none {tmpfs} && touch {tmpfs}/precious &&
        "$@" clean --all --dry-run && "$@" clean --all || exit 9
        [ -e {bound}/precious ] && [ -e {tmpfs}/precious ]
    """
    python = [sys.executable, "-m", "orchestrator"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *python],
        env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{bound} stays: something is mounted at {bound}" in done.stderr
    dry, real = done.stdout.split("would free ")
    assert real.splitlines()[0] == "10 MiB"
    assert left(places) == {"venv/v1", "trees/tools-1"}


def test_removal_stops_at_a_mount(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = places / "cache" / "trees" / "tools-2"
    inner = tree / "inner"
    inner.mkdir()
    (inner / "precious").touch()
    monkeypatch.setattr(space, "mount_points", lambda: frozenset({str(inner)}))
    before = space.disk_usage(tree)
    assert not space.remove(tree)
    assert (inner / "precious").exists()
    assert not (tree / "file").exists()
    assert before < MIB + 65536
