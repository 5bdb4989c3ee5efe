# SPDX-License-Identifier: Apache-2.0
"""A probe that is killed: its guest dies with it, its directory goes at the next start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.host.accelerator import QEMU
from orchestrator.vm.sweep import sweep_stale

# The guest's boot sector is a jump to itself.
PROBE = """
from orchestrator.host import accelerator
accelerator._BOOT_SECTOR = bytes.fromhex("ebfe")
accelerator.boot_proof("tcg", None, deadline=120)
"""
DEADLINE_S = 30.0


def guests(state: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"qemu-system-x86_64") and os.fsencode(state) in b" ".join(words):
            found.append(int(entry.parent.name))
    return found


def until(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.skipif(not QEMU.exists(), reason="there is no QEMU")
def test_a_killed_probe_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, temporary = tmp_path / "state", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path / "cache"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(paths.PROJECT),
        "RINGBED_STATE": str(state),
        "TMPDIR": str(temporary),
    }
    with subprocess.Popen([sys.executable, "-c", PROBE], env=environment) as probe:
        try:
            until(lambda: bool(guests(state)), "the guest runs")
            assert sweep_stale(state) == []
        finally:
            probe.send_signal(signal.SIGKILL)
    until(lambda: not guests(state), "the guest is gone")
    (left,) = state.iterdir()
    assert {path.name for path in left.iterdir()} >= {"owner", "disk"}
    assert len(sweep_stale(state)) == 1
    assert list(state.iterdir()) == []
    assert list(temporary.iterdir()) == []
