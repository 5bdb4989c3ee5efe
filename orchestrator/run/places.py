# SPDX-License-Identifier: Apache-2.0
"""Which executor a run gets, from what its user asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import UsageError
from orchestrator.host.slurm import Slurm, read_settings
from orchestrator.run.executor import Executor
from orchestrator.run.hosts import HostsExecutor
from orchestrator.run.local import LocalExecutor
from orchestrator.spec.model import Clock
from orchestrator.vm.connection import EMBED

type Kind = Literal["local", "slurm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """slots: trials at the same time; None: one, or what suits the host. connect: the libvirts that
    guests run in, for the kind local. slurm: a file of settings instead of the user's own."""

    kind: Kind = "local"
    slots: int | None = None
    connect: tuple[str, ...] = (EMBED,)
    slurm: Path | None = None

    @property
    def is_remote(self) -> bool:
        """Whether guests are somebody else's to emulate."""
        return self.connect != (EMBED,)


def choose(asked: Where, clock: Clock) -> Executor:
    """The executor for trials on that clock. Raises UsageError for what does not fit together."""
    slots = asked.slots or 1
    if asked.kind == "slurm":
        if asked.is_remote:
            raise UsageError(
                "--connect names libvirts; --executor slurm has none", hint="leave one of them out"
            )
        # submitit takes half a second to import.
        from orchestrator.run.slurm import SlurmExecutor

        return SlurmExecutor(slots=slots, slurm=Slurm(read_settings(asked.slurm)))
    if asked.is_remote:
        return HostsExecutor(connections=asked.connect, slots=slots)
    return LocalExecutor(slots=slots, clock=clock)


def where(kind: Kind, *, slots: int | None, connect: Sequence[str], slurm: Path | None) -> Where:
    """As the command line says it: without a connection, guests live inside this process."""
    return Where(kind=kind, slots=slots, connect=tuple(connect) or (EMBED,), slurm=slurm)
