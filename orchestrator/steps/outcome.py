# SPDX-License-Identifier: Apache-2.0
"""What a script of steps said, whoever executed it: files to keep, and the step that failed."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import StepError
from orchestrator.steps import shell
from orchestrator.steps.model import Collect, Step

type Group = list[tuple[int, Step]]


def groups(steps: Sequence[Step]) -> Iterator[tuple[str, Group]]:
    """Neighbouring steps of one machine, with their indices: what travels as one script."""
    numbered = enumerate(steps)
    for machine, group in itertools.groupby(numbered, key=lambda entry: entry[1].machine):
        yield machine, list(group)


def keep(machine: str, group: Group, output: str, into: Path) -> None:
    """Write the files that a script collected to the directory `into`.

    output: all that the script of `group` printed. Raises StepError for the step that failed, or
    before which the script ended.
    """
    steps = dict(group)
    for index, content in shell.files(output).items():
        step = steps[index]
        assert isinstance(step, Collect)
        (into / step.into).write_bytes(content)
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
