# SPDX-License-Identifier: Apache-2.0
"""The directory of a run: its names, its lock, and how to find one again.

The lock is an open file description lock, because whoever only wants to know whether a run lives
can ask for it without taking it: a look never makes a run fail that begins at that moment.
"""

import errno
import fcntl
import os
import secrets
import shlex
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.host import durable
from orchestrator.run import journal

type RunState = Literal["running", "finished", "failed", "interrupted", "crashed", "damaged", "new"]

SERVER_LOG = "server.log"
"""What a driver calls the log of its server."""

RUNS_DIR = Path("runs")
SHORTEST_TRIAL = 6
"""Where runs are unless told otherwise."""

# struct flock of fcntl(2): type, whence, start, length, pid; the whole file when all are 0.
_FLOCK = "hhqqi0q"
_TAKEN = (errno.EAGAIN, errno.EACCES)
_OWN_NAMES = frozenset(
    {
        *("determinism", "determinism.json", "experiment.yml", "figures", "journal.jsonl"),
        *("log.jsonl", "machines", "manifest.json", "plan.json", "profile", "report.html"),
        *("results.csv", "results.parquet", "trials"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """`runs/<utc>-<name>-<id>/`; every file in it has its name here."""

    path: Path

    @classmethod
    def is_taken(cls, name: str) -> bool:
        """Whether a file of this name, a path in the run, would be in the way of ringbed's own."""
        first = Path(name).parts[0]
        return first in _OWN_NAMES or Path(first).suffix in (".part", ".lock")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def called(self) -> str:
        """The run as a command line can name it, to be typed as it is."""
        usual = Path(os.environ.get("RINGBED_RUNS") or RUNS_DIR)
        is_usual = self.path.parent.resolve() == usual.resolve()
        return self.name if is_usual else shlex.quote(str(self.path))

    @property
    def experiment_name(self) -> str:
        """The part of the name between the time and the id, see `create`."""
        return self.name.partition("-")[2].rpartition("-")[0]

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

    @property
    def _lock(self) -> Path:
        return self.path / "run.lock"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    def trial(self, trial_id: str) -> Path:
        return self.trials / trial_id

    def profile(self, trial_id: str) -> Path:
        """Where the profile of a trial is."""
        return self.path / "profile" / trial_id

    def server_said(self, trial_id: str) -> list[str]:
        """The lines of a trial's server, as its driver collected them; none without its log."""
        try:
            text = (self.trial(trial_id) / SERVER_LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: only one process works on it at a time. The kernel drops the lock of a
        process that dies, so a held lock always means a living run."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                raise UsageError(
                    f"{self.name} is being run by another process",
                    hint=f"follow it with: ./ringbed logs -f {self.called}",
                ) from None
            yield
        finally:
            os.close(fd)

    def is_running(self) -> bool:
        """Whether a process holds the run. Takes no lock, so that it can stand in nobody's way."""
        try:
            fd = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
        finally:
            os.close(fd)
        return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)

    def state(self) -> RunState:
        """How the run stands: `crashed` when it neither ended nor lives, `damaged` when its
        journal cannot be read."""
        if self.is_running():
            return "running"
        try:
            ended = journal.progress(self.journal).ended
        except InfrastructureError:
            return "damaged"
        match ended:
            case "ok":
                return "finished"
            case "failed" | "interrupted":
                return ended
            case _:
                # It may have been resumed between the two looks.
                if self.is_running():
                    return "running"
                return "crashed" if self.journal.exists() else "new"


@contextmanager
def create(root: Path, experiment_name: str) -> Iterator[RunDirectory]:
    """Make the directory of a new run below `root`, and hold it. Nobody finds it before it is
    held, because its trials' directory makes it a run."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    run = RunDirectory(path=root / f"{stamp}-{experiment_name}-{secrets.token_hex(3)}")
    run.path.mkdir(parents=True)
    with run.locked():
        run.trials.mkdir()
        durable.sync(run.path)
        durable.sync(root)
        yield run


def list_runs(root: Path) -> list[RunDirectory]:
    """The runs below `root`, oldest first."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if (path / "trials").is_dir()]
    return [RunDirectory(path=path) for path in sorted(found)]


def find(root: Path, wanted: str = "latest") -> RunDirectory:
    """A run by path, name, end of its name, its experiment (the newest run), or `latest`."""
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
    if same := [run for run in runs if run.experiment_name == wanted]:
        return same[-1]
    names = "\n".join(f"  {run.name}" for run in (matches or runs)[-8:])
    what = "more than one run is" if matches else "no run is"
    raise UsageError(f"{what} called {wanted!r}", details=f"runs in {root}:\n{names}")


def find_trial(root: Path, wanted: str) -> tuple[RunDirectory, str] | None:
    """The trial that is meant by RUN/TRIAL, or by TRIAL alone; None when there is none such. The
    beginning of its name will do, as reports show it, where it is that of one trial only."""
    run_name, _, trial_id = wanted.rpartition("/")
    if run_name:
        try:
            runs = [find(root, run_name)]
        except UsageError:
            return None
    else:
        runs = list(reversed(list_runs(root)))
    for run in runs if trial_id else ():
        if run.trial(trial_id).is_dir():
            return run, trial_id
    found = [
        (run, path.name)
        for run in runs
        for path in (run.trial("").iterdir() if len(trial_id) >= SHORTEST_TRIAL else ())
        if path.name.startswith(trial_id)
    ]
    return found[0] if len({name for _, name in found}) == 1 else None
