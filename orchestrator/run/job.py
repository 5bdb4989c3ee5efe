# SPDX-License-Identifier: Apache-2.0
"""What runs on a node of a cluster: one trial in a process of its own.

The image, the programs, the trees and the run's directory are those of the host that submitted the
job, on a file system that both share; sockets and scratch files are the node's own. Errors go back
as data, because an exception would come back as the text of a stack trace.
"""

import platform
import signal
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import Interrupted, MachineError, RingbedError, StepError
from orchestrator.host.owned import OwnedDirectory, new_token
from orchestrator.run.plan import Trial
from orchestrator.run.sealedbed import SealedTestbed
from orchestrator.run.supplies import Supplies
from orchestrator.spec.topology import Topology
from orchestrator.vm.sweep import sweep_stale

# What Slurm sends a job some time before its limit (submitit asks for it).
LIMIT_SIGNAL = signal.SIGUSR2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """What the sealed guests of a topology are made of; see `sealedbed.SealedTestbed`."""

    topology: Topology
    supplies: Supplies
    directory: Path
    slot: int
    traces: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A StepError or MachineError as data."""

    is_step: bool
    message: str
    machine: str
    step: str
    hint: str
    details: str

    @classmethod
    def of(cls, error: StepError | MachineError) -> "Failure":
        return cls(
            is_step=isinstance(error, StepError),
            message=error.message,
            machine=error.machine,
            step=error.step if isinstance(error, StepError) else "",
            hint=error.hint,
            details=error.details,
        )

    def error(self) -> RingbedError:
        if self.is_step:
            return StepError(
                self.message,
                machine=self.machine,
                step=self.step,
                hint=self.hint,
                details=self.details,
            )
        return MachineError(
            self.message, machine=self.machine, hint=self.hint, details=self.details
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a job came to. node: where it ran. guests: as SealedTestbed.describe says it."""

    node: str
    failure: Failure | None = None
    guests: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def prepare(bed: Bed) -> Answer:
    """Make the snapshot that every trial starts from, and describe the guest."""

    def work(testbed: SealedTestbed) -> Mapping[str, dict[str, Any]]:
        testbed.up()
        return testbed.describe()

    return _carry_out(bed, work)


def run_trial(bed: Bed, trial: Trial, into: Path) -> Answer:
    """Run a trial; its raw files go to `into`."""

    def work(testbed: SealedTestbed) -> Mapping[str, dict[str, Any]]:
        testbed.execute(trial, into)
        return {}

    return _carry_out(bed, work)


def _carry_out(bed: Bed, work: Callable[[SealedTestbed], Mapping[str, dict[str, Any]]]) -> Answer:
    # submitit would ignore the one and start the job anew after the other.
    for number in (signal.SIGTERM, LIMIT_SIGNAL):
        signal.signal(number, _on_signal)
    node = platform.node()
    try:
        # What a job left behind that was killed on this node.
        sweep_stale()
        with OwnedDirectory(new_token()) as state:
            guests = work(
                SealedTestbed(
                    bed.topology,
                    bed.supplies,
                    bed.directory,
                    state=state,
                    slot=bed.slot,
                    traces=bed.traces,
                )
            )
    except (StepError, MachineError) as error:
        return Answer(node=node, failure=Failure.of(error))
    except Interrupted as request:
        if request.signal_name != LIMIT_SIGNAL.name:
            raise
        late = MachineError(
            f"the job reached its time limit on {node}",
            hint="give jobs more: time_minutes in the settings for Slurm (docs/scale-out.md)",
        )
        return Answer(node=node, failure=Failure.of(late))
    return Answer(node=node, guests=guests)


def _on_signal(number: int, _frame: types.FrameType | None) -> None:
    for name in (signal.SIGTERM, LIMIT_SIGNAL):
        signal.signal(name, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)
