# SPDX-License-Identifier: Apache-2.0
"""Executes a trial's steps in running guests over ssh, with Fabric.

Neighbouring steps of one machine travel as one script (see `steps.shell`). While a script runs,
`alive` is asked again and again: a guest that panicked is reported as that, at once, and not as a
command that took too long.
"""

import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from fabric import Connection

from orchestrator.errors import MachineError, StepError
from orchestrator.steps import outcome, shell
from orchestrator.steps.model import Script, Step
from orchestrator.steps.outcome import Group

logger = logging.getLogger(__name__)

GUEST_OUT = "/run/ringbed/trial"
TICK_S = 0.01
SSH_ERRORS = (paramiko.SSHException, EOFError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A guest as the executor sees it: its ssh connection, a check that raises MachineError when it
    is no longer running, and the last lines of its console."""

    connection: Connection
    alive: Callable[[], None]
    console: Callable[[], str]


class SshExecutor:
    """Runs scripts in a set of guests, one step after another in the order given."""

    def __init__(self, guests: Mapping[str, Guest]) -> None:
        self._guests = guests
        # Machines whose trial directory still holds the previous trial.
        self._fresh: set[str] = set()

    def execute(self, script: Script, into: Path) -> None:
        """Run one trial; collected files go to the directory `into`.

        Raises StepError or MachineError for the first step that failed. Teardown runs in any case
        where a guest still answers, and its own failures count only when all went well before.
        """
        self._fresh = {step.machine for step in (*script.setup, *script.measure, *script.teardown)}
        into.mkdir(parents=True, exist_ok=True)
        try:
            self._run_all((*script.setup, *script.measure), into, keep_going=False)
        except (StepError, MachineError):
            self._teardown_quietly(script.teardown, into)
            raise
        self._run_all(script.teardown, into, keep_going=True)

    def _teardown_quietly(self, steps: Sequence[Step], into: Path) -> None:
        try:
            self._run_all(steps, into, keep_going=True)
        except (StepError, MachineError) as error:
            logger.info("teardown after a failed trial: %s", error.message)

    def _run_all(self, steps: Sequence[Step], into: Path, *, keep_going: bool) -> None:
        failure: StepError | None = None
        for machine, group in outcome.groups(steps):
            try:
                self._run_script(machine, group, into, keep_going=keep_going)
            except StepError as error:
                if not keep_going:
                    raise
                failure = failure or error
        if failure is not None:
            raise failure

    def _run_script(self, machine: str, group: Group, into: Path, *, keep_going: bool) -> None:
        fresh = machine in self._fresh
        text = shell.script(group, GUEST_OUT, keep_going=keep_going, fresh=fresh)
        self._fresh.discard(machine)
        output = self._shell(machine, text, shell.deadline([step for _, step in group]))
        outcome.keep(machine, group, output, into)

    def _shell(self, machine: str, text: str, deadline_s: float) -> str:
        """Standard output of a script in the guest, while watching that the guest lives."""
        guest = self._guests[machine]
        end = time.monotonic() + deadline_s
        try:
            promise = guest.connection.run(
                f"sh -c {shlex.quote(text)}",
                asynchronous=True,
                hide=True,
                warn=True,
                in_stream=False,
            )
            # Not by a timeout of `run`, whose timer would keep this process alive to its end.
            while not promise.runner.process_is_finished:
                guest.alive()
                if time.monotonic() > end:
                    raise TimeoutError
                time.sleep(TICK_S)
            result = promise.join()
        except SSH_ERRORS as error:
            # What comes next begins with a connection of its own.
            guest.connection.close()
            guest.alive()
            what = f"the ssh connection was lost: {str(error) or type(error).__name__}"
            if isinstance(error, TimeoutError):
                what = f"no answer over ssh for {deadline_s:.0f} s"
            raise StepError(
                f"{machine}: {what}",
                machine=machine,
                details=f"--- last console lines ---\n{guest.console() or '(nothing)'}",
                hint="the guest's console log in the run's directory may tell more",
            ) from error
        if result.exited != 0:
            raise StepError(
                f"{machine}: the guest's shell ended with status {result.exited}",
                machine=machine,
                details=result.stderr[-1000:],
            )
        return str(result.stdout)
