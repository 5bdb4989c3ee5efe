# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import HostError, UsageError
from orchestrator.host.locks import try_lock
from orchestrator.host.owned import OWNER, OwnerLock, new_token
from orchestrator.vm import lease, sweep
from orchestrator.vm.snapshots import CONTENTS, MEMORY, Snapshot, SnapshotCache
from orchestrator.vm.state import RunState

HOLDER = """
import sys, time
from pathlib import Path
from orchestrator.vm.state import RunState
with RunState(sys.argv[1], "embed", Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the run "held"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, "held", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunState("token", "embed", tmp_path) as state:
        assert [entry.name for entry in tmp_path.iterdir()] == ["token"]
        state.new_group().joinpath("socket").touch()
        assert sweep.sweep_stale(tmp_path) == []
        assert state.path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_groups_have_places_of_their_own(tmp_path: Path) -> None:
    with RunState("token", "embed", tmp_path) as state:
        assert state.new_group() != state.new_group()


def test_what_lives_is_left_alone(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert sweep.sweep_stale(tmp_path) == []
    assert not OwnerLock(tmp_path / "held").take()
    with pytest.raises(HostError, match="belong to a running process"):
        sweep.end_run(tmp_path / "held")


def test_what_a_killed_process_left_is_removed(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    scratch = SnapshotCache().scratch("k" * 64, "held")
    holder.send_signal(signal.SIGKILL)
    holder.wait(5)
    assert (tmp_path / "held" / OWNER).exists()
    assert len(sweep.sweep_stale(tmp_path)) == 1
    assert not (tmp_path / "held").exists()
    assert not scratch.exists()
    assert sweep.sweep_stale(tmp_path) == []


@pytest.mark.parametrize("name", ["abcdefghij", "abcdefghij.new"])
def test_a_directory_whose_owner_was_killed_before_or_after_owning_it_is_removed(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    # Somebody may be at work on it just now.
    assert sweep.sweep_stale(tmp_path) == []
    os.utime(tmp_path / name, (1.0, 1.0))
    assert len(sweep.sweep_stale(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_other_directories_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert sweep.sweep_stale(tmp_path) == []
    assert (tmp_path / "other" / "file").exists()


def test_leases_of_ports_go_with_their_owners(tmp_path: Path) -> None:
    ports = tmp_path / "ports"
    ports.mkdir()
    (ports / "20000").touch()
    held = try_lock(ports / "20001")
    assert held is not None
    assert sweep.sweep_stale(tmp_path) == []
    assert [path.name for path in ports.iterdir()] == ["20001"]
    os.close(held)


def test_only_our_own_processes_are_ours() -> None:
    assert sweep.process_belongs(os.getpid(), Path("/nowhere/in/particular")) is False
    assert sweep.process_belongs(2**22 + 1, Path("/")) is False


def _lease(tmp_path: Path, token: str, created: float) -> lease.Lease:
    directory = tmp_path / token
    directory.mkdir()
    (directory / OWNER).write_text("{}", encoding="utf-8")
    made = lease.Lease(
        token=token,
        purpose="quickstart",
        created=created,
        connect="embed",
        machines=(
            lease.LeasedMachine(
                name="client",
                ssh_port=20001,
                pid=2**22 + 1,
                console_log=tmp_path / "log",
                console_socket=directory / "con" / "client",
            ),
        ),
    )
    made.write(directory / "lease.json")
    return made


def test_a_lease_is_read_as_written_and_survives_the_sweep(tmp_path: Path) -> None:
    second, first = _lease(tmp_path, "bbb", 2.0), _lease(tmp_path, "aaa", 1.0)
    assert sweep.sweep_stale(tmp_path) == []
    assert lease.list_leases(tmp_path) == [first, second]
    assert lease.find_lease("b", tmp_path) == second
    assert not second.machine("client").alive()
    lease.end_lease(second, tmp_path)
    assert lease.list_leases(tmp_path) == [first]


def test_leases_are_found_by_an_unambiguous_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no machines are up"):
        lease.find_lease("", tmp_path)
    for token in ("abc", "abd"):
        _lease(tmp_path, token, 1.0)
    with pytest.raises(UsageError, match="abc, abd"):
        lease.find_lease("ab", tmp_path)
    with pytest.raises(UsageError, match="no machine server"):
        lease.find_lease("abc", tmp_path).machine("server")


def test_a_lease_of_another_version_is_refused(tmp_path: Path) -> None:
    made = _lease(tmp_path, "abc", 1.0)
    file = tmp_path / made.token / "lease.json"
    data = json.loads(file.read_text(encoding="utf-8")) | {"version": 99}
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UsageError, match="another version"):
        lease.list_leases(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1, "machines": [{}]}'])
def test_a_damaged_lease_is_told(tmp_path: Path, text: str) -> None:
    made = _lease(tmp_path, "abc", 1.0)
    (tmp_path / made.token / "lease.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged") as caught:
        lease.list_leases(tmp_path)
    assert "remove it" in caught.value.hint


def test_tokens_differ_and_fit_a_path() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 10 and token[0].isalpha() for token in tokens)


def _snapshot(cache: SnapshotCache) -> Snapshot:
    scratch = cache.scratch("key", "token")
    with (scratch / MEMORY).open("wb") as file:
        file.seek(1 << 22)
        file.write(b"memory" * 1000)
    return cache.publish("key", scratch)


def test_a_snapshot_is_found_until_it_is_damaged(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path / "snapshots")
    assert cache.find("key") is None
    snapshot = _snapshot(cache)
    assert cache.find("key") == snapshot
    assert snapshot.bytes_on_disk < 1 << 20
    with snapshot.memory.open("r+b") as file:
        file.seek((1 << 22) + 100)
        file.write(b"X")
    assert cache.find("key") is None
    assert not snapshot.directory.exists()


@pytest.mark.parametrize("harm", ["truncate", "no contents", "no memory", "rubbish"])
def test_a_broken_snapshot_counts_as_missing(tmp_path: Path, harm: str) -> None:
    cache = SnapshotCache(tmp_path / "snapshots")
    snapshot = _snapshot(cache)
    contents = snapshot.directory / CONTENTS
    match harm:
        case "truncate":
            os.truncate(snapshot.memory, 4096)
        case "no contents":
            contents.unlink()
        case "no memory":
            snapshot.memory.unlink()
        case _:
            contents.write_text("rubbish", encoding="utf-8")
    assert cache.find("key") is None
    assert list(cache.root.iterdir()) == []


def test_the_faster_run_publishes(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path / "snapshots")
    first = _snapshot(cache)
    before = first.memory.stat().st_ino
    assert _snapshot(cache) == first
    assert first.memory.stat().st_ino == before
    assert len(list(cache.root.iterdir())) == 1
