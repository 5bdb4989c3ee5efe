# SPDX-License-Identifier: Apache-2.0
"""What every load generator offers, and what it is told.

A driver turns a load into typed steps on the client, and afterwards the tool's own output into
ringbed's raw format where that is not what the tool writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.spec.registry import Generator as Offer
from orchestrator.spec.workload import Workload
from orchestrator.stacks.base import Endpoint, Served
from orchestrator.steps.model import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of one trial. protocol: as on the wire (echo, spin, memcached-text, …).

    offered_rps: requests per second, None in a closed loop. trace: text of the trace file.
    populated: the server already holds what requests ask for (see Generator.populate).
    """

    workload: Workload
    protocol: str
    offered_rps: float | None
    seed: int
    warmup_ns: int
    duration_ns: int
    trace: str = ""
    populated: bool = False


class Generator(Protocol):
    """A load generator's driver."""

    offer: Offer

    def populate(self, load: Load, served: Served, client: Endpoint) -> tuple[Step, ...]:
        """Steps that only store what the requests of `load` will ask for; none if they ask for
        nothing. For trials that count the server's work and must not count this."""
        ...

    def drive(
        self, load: Load, options: Mapping[str, object], served: Served, client: Endpoint
    ) -> tuple[Step, ...]:
        """The steps on the client that drive the load to its end and collect what it measured."""
        ...

    def convert(self, directory: Path) -> None:
        """Turn collected output into load.json or crosscheck.json, if the tool wrote neither.

        Raises StepError when the output cannot be understood.
        """
        ...
