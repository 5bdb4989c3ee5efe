# SPDX-License-Identifier: Apache-2.0
"""One trial after another: journalled, executed, its raw files written.

A failed trial is a result too: it stays in the run with its reason. Whether the rest is still
worth measuring is the caller's choice (`keep_going`).
"""

import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import MachineError, RingbedError, StepError
from orchestrator.host import durable
from orchestrator.run.compose import label, record
from orchestrator.run.directory import RunDirectory
from orchestrator.run.journal import Journal
from orchestrator.run.plan import Trial
from orchestrator.spec.topology import Topology

logger = logging.getLogger(__name__)

POLL_S = 0.2
SERVER_LINES = 10


class Bench(Protocol):
    """Takes trials, one at a time."""

    def execute(self, trial: Trial, into: Path) -> None:
        """Run a trial; its raw files go to `into`. Raises StepError or MachineError."""
        ...

    def renew(self) -> None:
        """Become fit for the next trial after one has failed."""
        ...

    def give_up(self) -> None:
        """Make a trial that is under way in another thread end soon, by a MachineError."""
        ...


class GuestBench(Bench, Protocol):
    """Guests that can take trials of one topology: `run.testbed` on the wall clock,
    `run.sealedbed` on the virtual one."""

    @property
    def topology(self) -> Topology: ...

    def up(self) -> None:
        """Make the guests ready. Raises MachineError, StepError or ProvisionError."""
        ...

    def close(self) -> None:
        """End the guests for good; another bench may use their names."""
        ...

    def describe(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each guest, by its name: role, boot, qemu_argv, readback."""
        ...


class Observer(Protocol):
    """Is told about trials, from one thread at a time."""

    def trial_started(self, label: str) -> None: ...

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None:
        """outcome: ok, void, failed or interrupted."""
        ...


@dataclass(slots=True)
class Tally:
    """How the trials ended. first_failure: the error behind the first that failed."""

    ok: int = 0
    failed: int = 0
    first_failure: RingbedError | None = None
    failures: list[str] = field(default_factory=list)


class TrialLoop:
    """Feeds trials to benches; each bench takes one at a time, in the order of the plan."""

    def __init__(
        self, run: RunDirectory, journal: Journal, observer: Observer, *, keep_going: bool
    ) -> None:
        self._run = run
        self._journal = journal
        self._observer = observer
        self._keep_going = keep_going
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._given_up = threading.Event()
        self.tally = Tally()

    def run_all(self, trials: Sequence[Trial], benches: Sequence[Bench]) -> Tally:
        """All trials on the benches; returns when they are done, or the first one failed and
        `keep_going` is not set."""
        waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        for trial in trials:
            waiting.put(trial)
        if len(benches) == 1:
            self._work(benches[0], waiting)
            return self.tally
        with ThreadPoolExecutor(max_workers=len(benches)) as pool:
            futures = [pool.submit(self._work, bench, waiting) for bench in benches]
            try:
                _wait_interruptibly(futures)
            except BaseException:
                self._stop.set()
                self._given_up.set()
                for bench in benches:
                    bench.give_up()
                raise
        return self.tally

    def _work(self, bench: Bench, waiting: queue.SimpleQueue[Trial]) -> None:
        while not self._stop.is_set():
            try:
                trial = waiting.get_nowait()
            except queue.Empty:
                return
            failed = self._one(bench, trial)
            if failed and not self._keep_going:
                self._stop.set()
            elif failed:
                bench.renew()

    def _one(self, bench: Bench, trial: Trial) -> bool:
        directory = self._run.trial(trial.id)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        # On disk before anything happens: should ringbed die now, the trial says so itself.
        _write_trial(directory, trial, "interrupted", "the run ended while it was under way")
        durable.sync(directory.parent)
        with self._lock:
            self._journal.append("trial-start", trial=trial.id)
            self._observer.trial_started(label(trial))
        begin = time.monotonic()
        outcome, reason, void, error = "interrupted", "", "", None
        try:
            bench.execute(trial, directory)
            outcome, void = "ok", void_reason(trial, directory)
        except (StepError, MachineError) as failure:
            if self._given_up.is_set():
                return True
            outcome, reason, error = "failed", failure.message, failure
            _add_server_log(failure, self._run, trial.id)
            (directory / "failure.txt").write_text(f"{failure}\n", encoding="utf-8")
        finally:
            _write_trial(directory, trial, outcome, reason)
            # The journal says that a trial is done: its raw files must then outlive a crash.
            durable.sync_tree(directory)
            with self._lock:
                self._ended(trial, outcome, void or reason, error, time.monotonic() - begin)
        return outcome != "ok"

    def _ended(
        self, trial: Trial, outcome: str, reason: str, error: RingbedError | None, seconds: float
    ) -> None:
        self._journal.append(
            "trial-end", trial=trial.id, outcome=outcome, reason=reason, seconds=round(seconds, 3)
        )
        if outcome == "ok":
            self.tally.ok += 1
        elif outcome == "failed":
            self.tally.failed += 1
            self.tally.failures.append(f"{label(trial)}: {reason}")
            self.tally.first_failure = self.tally.first_failure or error
        shown = "void" if outcome == "ok" and reason else outcome
        self._observer.trial_ended(label(trial), shown, reason, seconds)


def void_reason(trial: Trial, directory: Path) -> str:
    """Why the load of a finished trial may not be used; empty when it may. The trial is done all
    the same: doing it again is no remedy. What else may be wrong with its files, analysis says."""
    if trial.kind != "measure":
        return ""
    try:
        load = json.loads((directory / "load.json").read_text(encoding="utf-8"))
        return "" if load["valid"] else "; ".join(load["reasons"]) or "its load is void"
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _wait_interruptibly(futures: Sequence[Future[None]]) -> None:
    """Wait for workers so that a signal still reaches the main thread; re-raise what they raise."""
    left = set(futures)
    while left:
        done, left = wait(left, timeout=POLL_S)
        for future in done:
            future.result()


def _add_server_log(failure: RingbedError, run: RunDirectory, trial_id: str) -> None:
    """Let the evidence end with what the server said last, where the error has not got it yet."""
    last = "\n".join(run.server_said(trial_id)[-SERVER_LINES:])
    if last and last not in failure.details:
        evidence = f"{failure.details.rstrip()}\n--- last lines of the server's log ---\n{last}"
        failure.details = evidence.lstrip()


def _write_trial(directory: Path, trial: Trial, status: str, reason: str) -> None:
    entry: dict[str, Any] = {**record(trial), "status": status, "reason": reason}
    durable.write_json(directory / "trial.json", entry)
