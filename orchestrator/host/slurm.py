# SPDX-License-Identifier: Apache-2.0
"""Slurm as this host has it: its commands, the settings for jobs, and what becomes of them.

ringbed runs with a tree's /usr over the host's; images/leave-tree.sh takes Slurm's commands, with
their libraries and plugins, back to the host's own. States come from `squeue`, which every Slurm
answers: `sacct` needs an accounting database that small clusters do without.
"""

import logging
import os
import threading
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import paths, process
from orchestrator.errors import CommandError, DeadlineError, HostError, UsageError

logger = logging.getLogger(__name__)

COMMAND_S = 60.0
POLL_S = 2.0
TIME_MINUTES = 60
# A job in one of these may still do something.
_ALIVE = frozenset(
    "CONFIGURING COMPLETING PENDING RESIZING RUNNING STAGE_OUT STOPPED SUSPENDED "
    "SIGNALING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT".split()
)
_MEANING = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "it reached its deadline",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it ran out of memory",
    "PREEMPTED": "it was preempted",
    "REVOKED": "it was revoked",
    "TIMEOUT": "it reached its time limit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSettings:
    """What jobs are submitted with.

    time_minutes: the limit of a job. bin: where Slurm's commands are, if not in a usual place.
    sbatch: more options of sbatch by their long names; True for one without a value.
    """

    partition: str = ""
    time_minutes: int = TIME_MINUTES
    bin: str = ""
    sbatch: Mapping[str, str | int | bool] = field(default_factory=dict)


def settings_file() -> Path:
    """Where the settings of this user are, if there are any."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "ringbed" / "slurm.toml"


def read_settings(path: Path | None = None) -> SlurmSettings:
    """Settings from a file; without one, from this user's, and else the defaults.

    Raises UsageError for a file that cannot be read or says what is not known.
    """
    file = path or settings_file()
    if path is None and not file.exists():
        return SlurmSettings()
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    for key, value in data.items():
        _check_setting(file, key, value)
    return SlurmSettings(**data)


def _check_setting(file: Path, key: str, value: Any) -> None:
    kinds = {"partition": str, "time_minutes": int, "bin": str, "sbatch": dict}
    if key not in kinds:
        raise UsageError(f"{file}: {key} is not known", hint=f"known are: {', '.join(kinds)}")
    good = isinstance(value, kinds[key]) and not isinstance(value, bool)
    if key == "time_minutes":
        good = good and value >= 1
    if key == "sbatch":
        good = good and all(_is_option(each) for each in value.values())
    if not good:
        raise UsageError(
            f"{file}: {key} cannot be {value!r}", hint="docs/scale-out.md has an example"
        )


def _is_option(value: object) -> bool:
    return isinstance(value, str | int) and value is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """What Slurm says of a job: a state such as RUNNING, why, and where."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def alive(self) -> bool:
        return self.state in _ALIVE

    def ending(self) -> str:
        """Why a job that is over has no result, in words."""
        where = f" on {self.node}" if self.node else ""
        why = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return f"{_MEANING.get(self.state, f'it ended as {self.state}')}{where}{why}"


# What a job is that the controller has forgotten, or that an operator removed.
GONE = JobState(state="GONE", reason="Slurm no longer knows it")


class Slurm:
    """The commands of a Slurm client. One object serves all threads."""

    def __init__(self, settings: SlurmSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._watched: set[str] = set()
        self._states: dict[str, JobState] = {}
        self._asked = float("-inf")
        self._silent = False

    def command(self, name: str) -> list[str]:
        """The words that run a command of Slurm from inside of a tree."""
        words = ["/bin/bash", str(paths.project("images", "leave-tree.sh")), name]
        if self.settings.bin:
            words = ["env", f"RINGBED_HOST_PATH={self.settings.bin}", *words]
        return words

    def check(self) -> str:
        """The version of Slurm. Raises HostError when it is not in reach, UsageError when it has
        no such partition."""
        try:
            version = process.run([*self.command("sbatch"), "--version"], timeout=COMMAND_S)
        except CommandError as error:
            raise HostError(
                "there is no sbatch in reach: this host is not part of a Slurm cluster",
                details=error.details,
                hint="log in where jobs are submitted; where it has an unusual place, "
                f'write bin = "/opt/slurm/bin" into {settings_file()}',
            ) from error
        try:
            said = process.run(
                [*self.command("sinfo"), "--noheader", "--format=%R"], timeout=COMMAND_S
            )
        except (CommandError, DeadlineError) as error:
            raise HostError(
                "Slurm's controller does not answer",
                details=error.details,
                hint="scontrol ping tells whether it runs",
            ) from error
        partitions = sorted(set(said.stdout.split()))
        wanted = self.settings.partition
        if wanted and wanted not in partitions:
            raise UsageError(
                f"Slurm has no partition {wanted}", hint=f"it has: {', '.join(partitions)}"
            )
        return version.stdout.strip()

    def watch(self, job: str) -> None:
        """Let `state` know of a job from now on."""
        with self._lock:
            self._watched.add(job)

    def state(self, job: str, *, now: bool = False) -> JobState | None:
        """What a watched job does, not older than POLL_S; None while Slurm was not asked yet.

        now: ask in any case.
        """
        with self._lock:
            if now or time.monotonic() - self._asked > POLL_S:
                self._ask()
            return self._states.get(job)

    def alive(self) -> list[str]:
        """The watched jobs that may still do something."""
        with self._lock:
            self._ask()
            return sorted(job for job in self._watched if _may_act(self._states.get(job)))

    def cancel(self, *jobs: str) -> None:
        """End jobs. One that is over is none any more, which is no error."""
        if jobs:
            done = process.run([*self.command("scancel"), *jobs], timeout=COMMAND_S, check=False)
            if done.returncode:
                logger.warning("scancel: %s", done.stderr.strip())

    def _ask(self) -> None:
        self._asked = time.monotonic()
        left = sorted(job for job in self._watched if _may_act(self._states.get(job)))
        if not left:
            return
        try:
            done = process.run(
                [
                    *self.command("squeue"),
                    *("--noheader", "--states=all", "--format=%i|%T|%N|%r"),
                    f"--user={os.geteuid()}",
                ],
                timeout=COMMAND_S,
            )
        except (CommandError, DeadlineError) as error:
            # A controller may be away for a moment, and its jobs go on.
            if not self._silent:
                logger.warning("Slurm does not answer for now: %s", error.message)
            self._silent = True
            return
        self._silent = False
        found = dict(_parse(line) for line in done.stdout.splitlines() if line.count("|") >= 3)
        for job in left:
            self._states[job] = found.get(job, GONE)


def _may_act(state: JobState | None) -> bool:
    return state is None or state.alive


def _parse(line: str) -> tuple[str, JobState]:
    job, state, node, reason = line.strip().split("|", 3)
    return job, JobState(state=state, node=node, reason=reason)
