# SPDX-License-Identifier: Apache-2.0
"""A sealed guest goes on alike wherever in its hold it was stopped, and as one that never was."""

import asyncio
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from orchestrator.host.plugin import TURNS, ensure_plugin
from orchestrator.host.trees import ensure_tree
from orchestrator.vm import sealed
from orchestrator.vm.model import MIB, Boot
from orchestrator.vm.sealed import Files, SealedConfig, SealedMachine
from orchestrator.vm.snapshots import SnapshotCache

pytestmark = pytest.mark.vm

# What every CPU did and when, to the nanosecond, after some work for all of them.
SESSION = """\
for turn in 1 2 3; do
    for cpu in 0 1 2; do taskset -c "$cpu" sha256sum /bin/busybox & done
    wait
done
cat /proc/timer_list /proc/stat /proc/schedstat /proc/interrupts >/run/ringbed/out/state
"""
PAGE = 4096


def write_input(path: Path, size: int) -> None:
    """The session, as the guest reads it: a page that says how many follow, and a tar."""
    text = SESSION.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("session")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    pages = -(-len(archive.getvalue()) // PAGE)
    content = f"{pages}\n".encode().ljust(PAGE, b"\0") + archive.getvalue()
    path.write_bytes(content.ljust(size, b"\0"))


def end_of(boot: Boot, place: Path, *, cold: bool = False) -> str:
    """The digest of what a session leaves that starts from a snapshot of its own."""
    place.mkdir()
    config = SealedConfig(cpus=3, memory_bytes=256 * MIB, boot=boot, input_bytes=2 * MIB)
    cache = SnapshotCache(place / "snapshots")
    turns = ensure_plugin(ensure_tree("tools"), TURNS).path
    machine = SealedMachine("guest", config, tools="", turns=turns, token="hold", cache=cache)
    files = Files(
        site=place / "site",
        input=place / "input",
        output=place / "output",
        console=place / "console",
        log=place / "log",
    )
    write_input(files.input, config.input_bytes)
    machine.run(files, deadline_s=200, cold=cold)
    with tarfile.open(files.output) as tar:
        found = tar.extractfile("./state")
        assert found is not None
        state = found.read()
    assert state.count(b"cpu: ") == config.cpus
    return hashlib.sha256(state).hexdigest()


def test_the_moment_of_a_snapshot_does_not_matter(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = sealed._save
    late_s = 0.0

    async def save_late(socket: Path, memory: Path, cpus: int) -> bool:
        # How long the hold lasts depends on the host: too late for it, and the next attempt,
        # of which there are several, comes after half the time.
        nonlocal late_s
        await asyncio.sleep(late_s)
        late_s /= 2
        return await save(socket, memory, cpus)

    monkeypatch.setattr(sealed, "_save", save_late)
    without = end_of(boot, tmp_path / "cold", cold=True)
    for late_s in (0.0, 0.2):
        assert end_of(boot, tmp_path / f"{late_s}") == without
