# SPDX-License-Identifier: Apache-2.0
"""memcslap of libmemcached, as Debian packages it: an independent look at a closed-loop point.

It stores N keys, then each of C threads, with a connection of its own, asks for all of them one
after another. It reports whole seconds of each phase and no percentiles; the mean latency follows
from them because exactly C requests are under way at any time (Little's law).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from orchestrator.errors import StepError
from orchestrator.spec.registry import Generator as Offer
from orchestrator.stacks.base import Endpoint, Options, Served
from orchestrator.steps.model import Collect, Run, Step
from orchestrator.workloads.base import Load

_RESULT = re.compile(
    r"^Time to get\s+(?P<requests>\d+) keys by\s+(?P<threads>\d+) threads:\s+(?P<s>[\d.]+) seconds",
    re.MULTILINE,
)


class MemcslapOptions(Options):
    """Options of memcslap as a cross-check."""

    requests: int = Field(
        default=1000, ge=1, le=1_000_000, description="Requests of each connection."
    )


class Memcslap:
    """Drives GETs in a closed loop; its keys have 29 bytes, its values some 2,600 on average."""

    offer = Offer(
        name="memcslap",
        text="libmemcached's load generator",
        protocols=frozenset({"memcached"}),
        modes=frozenset({"closed"}),
        options=MemcslapOptions,
    )

    def populate(self, load: Load, served: Served, client: Endpoint) -> tuple[Step, ...]:
        """It always stores its own keys first, in `drive`."""
        return ()

    def drive(
        self, load: Load, options: Mapping[str, object], served: Served, client: Endpoint
    ) -> tuple[Step, ...]:
        chosen = MemcslapOptions.model_validate(dict(options))
        argv = [
            "memcslap",
            f"--servers={served.address}:{served.port}",
            f"--concurrency={load.workload.connections}",
            f"--execute-number={chosen.requests}",
            "--test=get",
            "--tcp-nodelay",
        ]
        if load.protocol == "memcached-binary":
            argv.append("--binary")
        output = "{out}/memcslap.txt"
        return (
            Run(machine=client.machine, argv=tuple(argv), stdout=output, deadline_s=120.0),
            Collect(machine=client.machine, path=output, into="memcslap.txt"),
        )

    def convert(self, directory: Path) -> None:
        """memcslap.txt to crosscheck.json."""
        text = (directory / "memcslap.txt").read_text(encoding="utf-8")
        data = json.dumps(parse(text), indent=1) + "\n"
        (directory / "crosscheck.json").write_text(data, encoding="utf-8")


def parse(text: str) -> dict[str, object]:
    """What memcslap printed as crosscheck.json. Raises StepError when there is no result in it."""
    found = _RESULT.search(text)
    if found is None or float(found["s"]) == 0:
        raise StepError("memcslap printed no result", details=text[-500:])
    requests, threads, seconds = int(found["requests"]), int(found["threads"]), float(found["s"])
    return {
        "schema": 1,
        "generator": "memcslap",
        "achieved_rps": requests / seconds,
        "latency_ns": {"mean": threads * seconds / requests * 1e9},
    }
