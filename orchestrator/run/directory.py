# SPDX-License-Identifier: Apache-2.0
"""The directory of a run: its names, its lock, and how to find one again."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import UsageError
from orchestrator.run import journal

type RunState = Literal["running", "finished", "failed", "interrupted", "crashed", "new"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """`runs/<utc>-<name>-<id>/`; every file in it has its name here."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.yml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def machines(self) -> Path:
        return self.path / "machines"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def trial(self, trial_id: str) -> Path:
        return self.path / "trials" / trial_id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: only one process works on it at a time. The kernel drops the lock of a
        process that dies, so a held lock always means a living run."""
        fd = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{self.name} is being run by another process",
                    hint=f"follow it with: ./ringbed logs -f {self.name}",
                ) from None
            yield
        finally:
            os.close(fd)

    def is_running(self) -> bool:
        try:
            fd = os.open(self.path / "run.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def state(self) -> RunState:
        """How the run stands; `crashed` when it neither ended nor lives."""
        if self.is_running():
            return "running"
        ended = journal.progress(self.journal).ended
        match ended:
            case "ok":
                return "finished"
            case "failed" | "interrupted":
                return ended
            case _:
                return "crashed" if self.journal.exists() else "new"


def create(root: Path, experiment_name: str) -> RunDirectory:
    """Make the directory of a new run below `root`."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = root / f"{stamp}-{experiment_name}-{secrets.token_hex(3)}"
    (path / "trials").mkdir(parents=True)
    return RunDirectory(path=path)


def list_runs(root: Path) -> list[RunDirectory]:
    """The runs below `root`, oldest first."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if (path / "trials").is_dir()]
    return [RunDirectory(path=path) for path in sorted(found)]


def find(root: Path, wanted: str = "latest") -> RunDirectory:
    """A run by path, name, end of its name, or `latest`."""
    direct = Path(wanted)
    if (direct / "trials").is_dir():
        return RunDirectory(path=direct.resolve())
    runs = list_runs(root)
    if not runs:
        raise UsageError(f"no runs in {root}", hint="start one with: ./ringbed run quickstart")
    if wanted == "latest":
        return runs[-1]
    matches = [run for run in runs if run.name == wanted or run.name.endswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    names = "\n".join(f"  {run.name}" for run in (matches or runs)[-8:])
    what = "more than one run is" if matches else "no run is"
    raise UsageError(f"{what} called {wanted!r}", details=f"runs in {root}:\n{names}")
