# SPDX-License-Identifier: Apache-2.0
"""`ringbed plan` says what a run would do, and makes, builds and proves nothing."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.cli.plan import _wrapped
from orchestrator.host import accelerator

TIMEOUT_S = 120


def plan(home: Path, *words: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because libvirt can be opened once in each."""
    places = {f"RINGBED_{name}": str(home / name.lower()) for name in ("CACHE", "STATE", "DATA")}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
        Path(place).chmod(0o700)
    environment = {**os.environ, **places, "PYTHONPATH": str(paths.PROJECT)}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", *words],
        cwd=home,
        env={**environment, "COLUMNS": str(columns), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Sockets below it must have short names.
    return tmp_path_factory.mktemp("p")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_nothing_is_made(home: Path) -> None:
    done = plan(home, "quickstart")
    assert done.returncode == 0, done.stderr
    made = [str(path) for path in home.rglob("*") if not path.is_dir()]
    assert made == []
    assert list((home / "cache").iterdir()) == []
    assert sorted(path.name for path in home.iterdir()) == ["cache", "data", "state"]
    out = done.stdout
    assert "the guest image guest" in " ".join(out.partition("machines\n")[0].split())
    if accelerator._unusable_device() is None:
        assert "not proven yet (./ringbed doctor proves it)" in out
    assert "48 trials in this order: 45 measure, 3 accounting" in out
    assert "… and 40 more (-v shows them)" in out
    assert "requests/s  200, 423, 894, 1890, 4000" in out
    assert out.index("QEMU command lines") > out.index("48 trials")
    # What is meant to be read, above the command lines, fits the terminal.
    assert max(map(len, out.partition("QEMU command lines")[0].splitlines())) <= 80


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_the_plan_is_that_of_the_run(home: Path) -> None:
    """JSON has the whole plan, and the command lines boot the image that would be built."""
    done = plan(home, "message-size", "--json", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [trial["index"] for trial in data["trials"]] == list(range(len(data["trials"])))
    assert set(data["qemu"]) == {"client", "server"}
    words = shlex.split(data["qemu"]["server"])
    kernel = words[words.index("-kernel") + 1]
    assert kernel == f"{home}/cache/images/guest-{data['inputs']['image']}/vmlinux"


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_it_says_where_trials_would_run(home: Path) -> None:
    done = plan(home, "message-size", "--json", "-j", "3", "--set", "clock=wall")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["executor"] == {"kind": "local", "slots": 3, "description": "local, 3 slots"}
    assert any("share a host's cores" in warning for warning in data["warnings"])


@pytest.mark.parametrize(("jobs", "slots"), [((), 2), (("-j", "1"), 1)])
def test_slots_left_open_are_those_of_the_run(
    home: Path, jobs: tuple[str, ...], slots: int
) -> None:
    """On the virtual clock as many as there are cores: two for a process bound to two."""
    cores = sorted(os.sched_getaffinity(0))
    slots = min(slots, len(cores))
    os.sched_setaffinity(0, cores[:2])
    try:
        done = plan(home, "bypass", "--json", *jobs)
    finally:
        os.sched_setaffinity(0, cores)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["executor"]["slots"] == slots
    # 6 trials of 4.5 s and 25 s for a second of load, half of them polling; and a boot.
    assert data["estimate_ns"] == (30 + (6 * 6 + 3 * 15) / slots) * 10**9


@pytest.mark.parametrize(
    ("clock", "needs"),
    [
        ("virtual", "guests need  1 core (all vCPUs take turns on it), "),
        ("wall", "need  3 vCPUs, "),
    ],
)
def test_what_guests_need_is_of_their_clock(home: Path, clock: str, needs: str) -> None:
    assert needs in plan(home, "quickstart", "--set", f"clock={clock}").stdout


def test_a_place_that_cannot_be_is_refused(home: Path) -> None:
    elsewhere = ("--connect", "qemu+ssh://a/system", "--connect", "qemu+ssh://b/system")
    virtual = plan(home, "message-size", "--set", "clock=virtual", *elsewhere)
    assert virtual.returncode == 2
    assert "on the virtual clock the guest runs on this host" in virtual.stderr
    both = plan(home, "message-size", "--set", "clock=virtual", "--executor", "slurm", *elsewhere)
    assert both.returncode == 2
    assert "--executor slurm has none" in both.stderr


def test_a_name_that_is_not_the_folders_is_told(home: Path) -> None:
    folder = home / "other"
    folder.mkdir()
    text = paths.project("experiments", "quickstart", "experiment.yml").read_text("utf-8")
    (folder / "experiment.yml").write_text(text)
    done = plan(home, str(folder), "--only", "linux-memcached", "--repeat", "1")
    assert "warning: " in done.stderr
    assert "has the name quickstart, but its folder is called other" in done.stderr


def test_command_lines_are_wrapped_so_that_a_shell_reads_them() -> None:
    words = ["LC_ALL=C", "/usr/bin/qemu", "-S", "-kernel", "/a/vmlinux", "-append", "a b=c"]
    lines = list(_wrapped(words, 30))
    assert lines[0] == "/usr/bin/qemu -S \\"
    assert "  -kernel /a/vmlinux \\" in lines
    assert all(len(line) <= 30 for line in lines)
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == words[1:]
