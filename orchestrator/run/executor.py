# SPDX-License-Identifier: Apache-2.0
"""Where trials are carried out: the protocol that `local`, `hosts` and `slurm` fulfil.

An executor gives out benches; each takes one trial at a time, so that as many trials run at once
as there are benches. What a bench does with a trial is its own business, but the raw files it
leaves must not tell which executor it came from.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.host import probe
from orchestrator.run.execute import GuestBench
from orchestrator.run.plan import Plan
from orchestrator.run.supplies import Supplies
from orchestrator.spec.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What benches are made of. directory: the run's own, whose guests' logs go to `machines`.
    came_up: told of each bench whose guests are ready."""

    supplies: Supplies
    directory: Path
    came_up: Callable[[GuestBench], None]

    @property
    def machines(self) -> Path:
        return self.directory / "machines"


# Benches of a topology, at least one and at most as many as there are slots and as is asked for,
# with the texts of the experiment's trace files by their names.
type MakeBenches = Callable[[Topology, int, Mapping[str, str]], Sequence[GuestBench]]


class Executor(Protocol):
    """One place, or several of a kind. `slots`: how many trials may run at the same time."""

    @property
    def slots(self) -> int: ...

    def describe(self) -> str:
        """Where trials run and how many at once, in words."""
        ...

    def check_plan(self, plan: Plan) -> list[str]:
        """What the user should know before such a plan is run here. Starts nothing, and raises
        UsageError or HostError when it cannot be run here at all."""
        ...

    def check_host(self, plan: Plan, facts: probe.Facts) -> list[str]:
        """The same of the host that ringbed itself runs on, which is known only then."""
        ...

    def open(self, site: Site) -> AbstractContextManager[MakeBenches]:
        """Be ready for a run; leaving the context ends all that was started for it."""
        ...


def shared_cores(plan: Plan, slots: int) -> list[str]:
    """The warning that trials on the wall clock disturb each other."""
    if plan.clock == "virtual" or slots == 1:
        return []
    return [
        f"{slots} trials at a time share a host's cores, caches and memory: their latencies "
        "compare only with those of runs with as many slots"
    ]
