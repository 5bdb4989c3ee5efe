# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while guests run: who is told what, what is kept, and what is left behind.

Nothing here waits for a time to pass: each fault is caused by an event that was seen (a process,
a line of the journal, a program that runs in a guest), and each verdict has a deadline.
"""

import csv
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from leftovers import Command, Done, Places, Ringbed, argv, new_places

from orchestrator import paths
from orchestrator.run import directory, journal
from orchestrator.run.directory import RunDirectory
from orchestrator.vm import keys
from orchestrator.vm.model import Boot

pytestmark = pytest.mark.vm

# In a guest: wait until the load generator, or a client of the server, is at work.
LOADED = "until grep -qsx rbload /proc/[0-9]*/comm; do sleep 0.05; done"
SERVED = "until grep -qE ' [0-9A-F]+:1B58 [0-9A-F:]+ 01 ' /proc/net/tcp; do sleep 0.05; done"
PANIC = "echo c >/proc/sysrq-trigger"
# Nothing but this runs on the guest's only CPU again: neither sshd nor the load generator.
HANG = (
    "mount -t debugfs none /sys/kernel/debug; "
    "for file in /sys/kernel/debug/sched/fair_server/*/runtime; do echo 0 >$file; done; "
    "echo -1 >/proc/sys/kernel/sched_rt_runtime_us; exec chrt -f 99 sh -c 'while :; do :; done'"
)
DIE = "kill -KILL $(grep -lsx rb-echo /proc/[0-9]*/comm | cut -d/ -f3)"


class Scene:
    """One run over several commands (`run`, then `resume` again and again), and its guests."""

    def __init__(self, ringbed: Ringbed, *words: str) -> None:
        self.ringbed = ringbed
        self.places = ringbed.places
        known = {run.path for run in directory.list_runs(self.places.runs)}
        self.command = ringbed.start("run", *words)

        def new() -> list[RunDirectory]:
            found = directory.list_runs(self.places.runs)
            return [run for run in found if run.path not in known]

        (self.run,) = self.command.until(new, "the directory of the run")

    def resume(self, *options: str) -> Command:
        self.command = self.ringbed.start("resume", self.run.name, *options)
        return self.command

    def end(self, seconds: float = 90.0) -> Done:
        return self.command.wait(seconds)

    def ended_trials(self) -> list[str]:
        """The outcomes of all trials that ended, in their order."""
        entries = journal.read(self.run.journal)
        return [entry.outcome for entry in entries if entry.event == "trial-end"]

    def started_trials(self) -> list[str]:
        """The names of all trials that were begun, in their order."""
        entries = journal.read(self.run.journal)
        return [entry.trial for entry in entries if entry.event == "trial-start"]

    def await_trial(self, number: int) -> None:
        """Until that many trials have begun, counted over all commands, and the last of them is
        under way."""
        self.command.until(
            lambda: len(self.started_trials()) == number > len(self.ended_trials()),
            f"trial {number} is under way",
        )

    def await_guests(self) -> None:
        self.command.until(self.places.guests, "a guest")

    def await_playbook(self) -> None:
        self.command.until(lambda: self.places.running("ansible-playbook"), "a playbook")

    def kill(self, number: signal.Signals) -> Done:
        self.command.process.send_signal(number)
        return self.end(60)

    def in_guest(self, machine: str, script: str) -> None:
        """Start a script in a guest; its end is not awaited, because it may be the guest's."""
        definition = (self.run.machines / machine / "domain.xml").read_text(encoding="utf-8")
        found = re.search(r"<range start='(\d+)' to='22'", definition)
        assert found is not None
        command = keys.ssh_command(
            keys.guest_keys(self.places.data / "ssh"), int(found[1]),
            f"{{ {script}; }} </dev/null >/dev/null 2>&1 &",
        )  # fmt: skip
        subprocess.run(command, check=True, timeout=30, capture_output=True)

    def rows(self) -> list[dict[str, str]]:
        """A row of the results for each load trial that ended: its throughput, which needs no
        more than one request to be valid."""
        with (self.run.path / "results.csv").open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if row["metric"] == "achieved_rps"]


@pytest.fixture(autouse=True)
def nothing_left(places: Places) -> None:
    """Every test begins in a clean place, so that what it finds at its end is its own."""
    assert places.clean_within(), places.leftovers()


def test_a_guest_panics_then_a_server_dies_then_ssh_is_lost(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    scene = Scene(ringbed, tiny, "--repeat", "4", "--set", "duration=2s")
    scene.await_trial(2)
    scene.in_guest("client", f"{LOADED}; {PANIC}")
    done = scene.end()
    assert done.code == 3, done.err
    assert "client: the guest's kernel panicked: sysrq triggered crash" in done.err
    assert "Kernel panic - not syncing" in done.err
    assert f"./ringbed resume {scene.run.name}" in done.err
    assert scene.ended_trials() == ["ok", "failed"]
    assert scene.run.state() == "failed"
    assert {row["valid"] for row in scene.rows()} == {"true", "false"}
    assert any("panicked" in row["reason"] for row in scene.rows())
    assert places.clean_within(), places.leftovers()

    scene.resume("--keep-going")
    scene.await_trial(3)
    scene.in_guest("server", f"{SERVED}; {DIE}")
    scene.await_trial(4)
    os.kill(places.running("passt", "client")[0], signal.SIGKILL)
    done = scene.end(150)
    assert done.code == 3, done.err
    assert scene.ended_trials() == ["ok", "failed", "failed", "failed", "ok"]
    reasons = list(journal.progress(scene.run.journal).reasons.values())
    assert any("server had died with status 137" in reason for reason in reasons), reasons
    assert any("client: the ssh connection was lost" in reason for reason in reasons), reasons
    assert "starting the guests anew" in scene.run.log.read_text(encoding="utf-8")
    assert places.clean_within(), places.leftovers()

    scene.resume()
    done = scene.end()
    assert done.code == 0, done.err
    assert scene.run.state() == "finished"
    assert sorted(Counter(scene.started_trials()).values()) == [1, 1, 2, 3]
    assert {row["valid"] for row in scene.rows()} == {"true"}
    assert places.clean_within(), places.leftovers()


def test_a_guest_that_hangs_in_a_trial_meets_a_deadline(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    scene = Scene(ringbed, tiny, "--repeat", "2", "--set", "duration=2s")
    scene.await_trial(2)
    scene.in_guest("client", f"{LOADED}; {HANG}")
    done = scene.end(300)
    assert done.code == 3, done.err
    assert re.search(r"client: no answer over ssh for \d+ s", done.err), done.err
    assert "--- last console lines ---" in done.err
    assert f"./ringbed resume {scene.run.name}" in done.err
    assert scene.ended_trials() == ["ok", "failed"]
    assert scene.run.state() == "failed"
    assert {row["valid"] for row in scene.rows()} == {"true", "false"}
    assert places.clean_within(), places.leftovers()


@pytest.fixture
def breakable(boot: Boot, tiny: str) -> Iterator[tuple[Ringbed, str, Path]]:
    """A ringbed with images of its own, an experiment, and the directory of the image: its files
    are links that may be replaced."""
    with new_places() as found:
        for shared in ("images", "probe"):
            (found.cache / shared).unlink()
            (found.cache / shared).mkdir()
        # Not whatever lies in the cache: that may hold images of earlier lock files too.
        image = boot.kernel.parent
        copy = found.cache / "images" / image.name
        copy.mkdir()
        for file in image.iterdir():
            (copy / file.name).symlink_to(file)
        yield Ringbed(found), tiny, copy


@pytest.mark.parametrize(
    ("file", "message", "evidence"),
    [
        ("vmlinux", "cannot be started", "Error while loading elf kernel"),
        ("initrd.img", "the guest's kernel panicked: VFS: Unable to mount root fs", "Call Trace:"),
    ],
)
def test_an_image_that_does_not_boot_ends_the_run(
    breakable: tuple[Ringbed, str, Path], file: str, message: str, evidence: str
) -> None:
    ringbed, experiment, image = breakable
    (image / file).unlink()
    (image / file).write_bytes(b"\x7fELF" + b"rubbish" * 1000)
    done = ringbed("run", experiment, seconds=200)
    assert done.code == 3, done.err
    assert re.search(rf"error: (client|server):? {message}", done.err), done.err
    assert re.search(evidence, done.err), done.err
    assert "Traceback" not in done.err
    (run,) = directory.list_runs(ringbed.places.runs)
    assert run.state() == "failed"
    assert ringbed.places.clean_within(), ringbed.places.leftovers()


def test_a_kernel_that_went_away_ends_the_run(breakable: tuple[Ringbed, str, Path]) -> None:
    ringbed, experiment, image = breakable
    scene = Scene(ringbed, experiment)
    # An image without a kernel would have been built anew; this one had it until now.
    (image / "vmlinux").unlink()
    done = scene.end()
    assert done.code == 3, done.err
    assert f"the kernel image {image}/vmlinux cannot be read: No such file" in done.err
    assert "hint: ./ringbed image build" in done.err
    assert scene.run.state() == "failed"
    assert ringbed.places.clean_within(), ringbed.places.leftovers()


def test_signals_end_a_run_and_resume_does_the_rest(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    scene = Scene(ringbed, tiny, "--repeat", "3", "--set", "duration=1s")
    scene.await_guests()
    check_interrupted(scene, signal.SIGINT)

    scene.resume()
    scene.await_playbook()
    check_interrupted(scene, signal.SIGTERM)

    scene.resume()
    scene.await_trial(2)
    check_interrupted(scene, signal.SIGINT)
    assert scene.ended_trials() == ["ok", "interrupted"]
    cut_off = scene.run.trial(scene.started_trials()[-1]) / "trial.json"
    assert '"status": "interrupted"' in cut_off.read_text(encoding="utf-8")
    assert ringbed("report", scene.run.name).code == 0

    scene.resume()
    done = scene.end()
    assert done.code == 0, done.err
    assert scene.ended_trials() == ["ok", "interrupted", "ok", "ok"]
    assert sorted(Counter(scene.started_trials()).values()) == [1, 1, 2]
    assert places.clean_within(), places.leftovers()


def check_interrupted(scene: Scene, number: signal.Signals) -> None:
    done = scene.kill(number)
    assert done.code == 130, done.err
    assert f"interrupted by {number.name}" in done.err
    assert f"./ringbed resume {scene.run.name}" in done.err
    assert "Traceback" not in done.err
    assert scene.run.state() == "interrupted"
    assert scene.places.clean_within(), scene.places.leftovers()


def test_the_next_start_removes_what_a_kill_left(
    ringbed: Ringbed, places: Places, tiny: str
) -> None:
    """Killed while a snapshot is saved, while guests start, while they are set up, in a trial."""
    # Other memory than in all other tests: there is no snapshot of the client yet.
    memory = ("--set", "machines.client.memory=260MiB")
    scene = Scene(ringbed, tiny, "--repeat", "2", "--set", "duration=1s", *memory)
    scene.command.until(lambda: [*places.cache.glob("snapshots/.*/memory")], "a snapshot is saved")
    old = check_killed(scene)

    for moment in (scene.await_guests, scene.await_playbook, lambda: scene.await_trial(2)):
        scene.resume()
        scene.command.until(_gone(places, old), "what was left has been removed")
        moment()
        assert "had left behind" in scene.command.err
        old = check_killed(scene)

    assert scene.ended_trials() == ["ok"]
    scene.resume()
    done = scene.end()
    assert done.code == 0, done.err
    assert sorted(Counter(scene.started_trials()).values()) == [1, 2]
    assert {row["valid"] for row in scene.rows()} == {"true"}
    assert places.clean_within(), places.leftovers()


def check_killed(scene: Scene) -> set[str]:
    """Kill the run; returns the names of the state directories that it left."""
    scene.kill(signal.SIGKILL)
    assert scene.run.state() == "crashed"
    assert scene.places.guests()
    return {path.name for path in scene.places.state.iterdir() if path.name != "ports"}


def _gone(places: Places, tokens: set[str]) -> Callable[[], bool]:
    return lambda: not any(token in line for line in places.leftovers() for token in tokens)


def test_more_memory_than_there_is(ringbed: Ringbed, tiny: str) -> None:
    done = ringbed("run", tiny, "--set", "machines.server.memory=900GiB")
    assert done.code == 3, done.err
    assert re.search(r"the guests need \d+ MiB of memory, \d+ MiB are available", done.err)
    assert "hint: " in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_no_space_for_the_run(ringbed: Ringbed, places: Places, tiny: str) -> None:
    small = places.root / "small"
    small.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, small, *argv("run", tiny, "--runs-dir",
         str(small))],
        capture_output=True, text=True, timeout=60, env=places.environment(), cwd=paths.PROJECT,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert f"{small} has 1 MiB free; a run needs 500 MiB" in done.stderr
    assert "hint: " in done.stderr
