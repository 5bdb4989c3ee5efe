# SPDX-License-Identifier: Apache-2.0
"""Executes a trial's steps in running guests over ssh, with Fabric.

Neighbouring steps of one machine travel as one script (see `steps.shell`). While a script runs,
`alive` is asked again and again: a guest that panicked is reported as that, at once, and not as a
command that took too long.
"""

import base64
import io
import logging
import shlex
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import paramiko
from fabric import Connection
from invoke.exceptions import CommandTimedOut

from orchestrator.errors import MachineError, StepError
from orchestrator.steps import shell
from orchestrator.steps.model import Collect, Script, Step

logger = logging.getLogger(__name__)

GUEST_OUT = "/run/ringbed/trial"
TICK_S = 0.01
SSH_ERRORS = (paramiko.SSHException, EOFError, OSError, CommandTimedOut)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A guest as the executor sees it: its ssh connection, and a check that raises MachineError
    when it is no longer running."""

    connection: Connection
    alive: Callable[[], None]


class SshExecutor:
    """Runs scripts in a set of guests, one step after another in the order given."""

    def __init__(self, guests: Mapping[str, Guest]) -> None:
        self._guests = guests

    def execute(self, script: Script, into: Path) -> None:
        """Run one trial; collected files go to the directory `into`.

        Raises StepError or MachineError for the first step that failed. Teardown runs in any case
        where a guest still answers, and its own failures count only when all went well before.
        """
        steps = (*script.setup, *script.measure)
        for machine in {step.machine for step in (*steps, *script.teardown)}:
            self._shell(machine, f"rm -rf {GUEST_OUT} && mkdir -p {GUEST_OUT}", 10.0)
        try:
            self._run_all(steps, into, keep_going=False)
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
        for machine, group in _groups(steps):
            try:
                if isinstance(group[0][1], Collect):
                    self._collect(machine, [step for _, step in group], into)
                else:
                    self._run_script(machine, group, keep_going=keep_going)
            except StepError as error:
                if not keep_going:
                    raise
                failure = failure or error
        if failure is not None:
            raise failure

    def _run_script(self, machine: str, group: list[tuple[int, Step]], *, keep_going: bool) -> None:
        steps = dict(group)
        text = shell.script(group, GUEST_OUT, keep_going=keep_going)
        output = self._shell(machine, text, shell.deadline(list(steps.values())))
        found = shell.records(output)
        for record in found:
            if record.outcome == "failed":
                step = steps[record.index]
                raise StepError(
                    f"{machine}: {shell.describe(step)}: {record.reason}",
                    machine=machine,
                    step=shell.describe(step),
                    details=record.evidence,
                    hint="the trial's directory keeps the logs of its processes",
                )
        if len(found) != len(group):
            missing = shell.describe(group[len(found)][1])
            raise StepError(
                f"{machine}: the guest's shell ended before: {missing}",
                machine=machine,
                step=missing,
                details=output[-1000:],
            )

    def _collect(self, machine: str, steps: Sequence[Step], into: Path) -> None:
        wanted = [step for step in steps if isinstance(step, Collect)]
        paths = {step.path.replace("{out}", GUEST_OUT): step for step in wanted}
        # One tar stream in one round trip; base64 because the channel decodes text.
        names = " ".join(shlex.quote(path) for path in paths)
        text = (
            f'set --; for f in {names}; do [ -f "$f" ] && set -- "$@" "$f"; done\n'
            f'[ $# = 0 ] || tar cPf - "$@" | base64 -w0\n'
        )
        archive = self._shell(machine, text, 30.0)
        files = _untar(archive)
        into.mkdir(parents=True, exist_ok=True)
        for path, step in paths.items():
            if path in files:
                (into / step.into).write_bytes(files[path])
            elif not step.optional:
                raise StepError(
                    f"{machine}: {step.path} is not there to be collected",
                    machine=machine,
                    step=shell.describe(step),
                )

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
                timeout=deadline_s,
            )
            while not promise.runner.process_is_finished:
                guest.alive()
                if time.monotonic() > end + shell.KILL_GRACE_S:
                    raise StepError(
                        f"{machine}: no answer over ssh for {deadline_s:.0f} s",
                        machine=machine,
                        hint="the guest's console log in the run's directory may tell why",
                    )
                time.sleep(TICK_S)
            result = promise.join()
        except SSH_ERRORS as error:
            guest.alive()
            raise StepError(
                f"{machine}: the ssh connection was lost: {error or type(error).__name__}",
                machine=machine,
                hint="the guest's console log in the run's directory may tell why",
            ) from error
        if result.exited != 0:
            raise StepError(
                f"{machine}: the guest's shell ended with status {result.exited}",
                machine=machine,
                details=result.stderr[-1000:],
            )
        return str(result.stdout)


def _groups(steps: Sequence[Step]) -> Iterator[tuple[str, list[tuple[int, Step]]]]:
    """Neighbouring steps of one machine; Collect steps never share a group with others."""
    group: list[tuple[int, Step]] = []

    def same(step: Step) -> bool:
        before = group[-1][1]
        return before.machine == step.machine and isinstance(before, Collect) == isinstance(
            step, Collect
        )

    for index, step in enumerate(steps):
        if group and not same(step):
            yield group[-1][1].machine, group
            group = []
        group.append((index, step))
    if group:
        yield group[-1][1].machine, group


def _untar(encoded: str) -> dict[str, bytes]:
    data = base64.b64decode(encoded)
    if not data:
        return {}
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                files[str(PurePosixPath(member.name))] = content.read()
    return files
