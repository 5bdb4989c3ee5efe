# SPDX-License-Identifier: Apache-2.0
"""What the accounting plugin counted in a sealed guest, by machine, phase and privilege domain."""

import json
from pathlib import Path
from typing import Any

from orchestrator.errors import StepError
from orchestrator.run import placement
from orchestrator.spec.topology import Topology

FILE = "instructions.json"
# As dataplane/base/phase.h numbers them. What comes before and after is left out: most of the
# set-up lies before the snapshot, and a guest that has switched itself off executes a few more
# instructions until QEMU's main loop hears of it.
PHASES = {"warm-up": 1, "measured": 2}
# What accounting/count.c counts by domain: all instructions, and what of them locked.h tells apart.
KINDS = ("phases", "locked", "barriers")


def keep(counts: Path, topology: Topology, into: Path, *, marked: bool, polling: str = "") -> None:
    """Write instructions.json: for each CPU whose it is and, by phase, its instructions by domain,
    those of them that are locked and those that are barriers; and the turns of a polling loop that
    marks them: how many, how many of these were idle, and what the idle ones executed.

    counts: what accounting/count.c wrote. marked: the load generator tells of phases; then raises
    StepError when it did not. polling: the machine, if any, whose CPUs never rest; where loops mark
    their turns, those with a loop.
    """
    counted = json.loads(counts.read_text(encoding="utf-8"))
    phases, turns = counted["phases"], counted["turns"]
    if marked and not any(sum(cpu.values()) for cpu in phases[PHASES["measured"]]):
        raise StepError(
            "the guest executed no instruction in the measured phase",
            hint="the load generator marks the phases: see dataplane/base/phase.h",
        )
    owners = {0: placement.HOUSE}
    for node in topology.nodes:
        owners |= dict.fromkeys(placement.cpus(topology, node, "virtual"), node.name)
    begun = {number: turns[PHASES["measured"]][number]["begun"] for number in owners}
    marking = {owners[number] for number, count in begun.items() if count}
    cpus: list[dict[str, Any]] = [
        {
            "cpu": number,
            "machine": owner,
            "polls": begun[number] > 0 if owner in marking else owner == polling,
            **{
                kind: {name: counted[kind][index][number] for name, index in PHASES.items()}
                for kind in KINDS
            },
            "turns": {name: turns[index][number] for name, index in PHASES.items()},
        }
        for number, owner in sorted(owners.items())
    ]
    text = json.dumps({"schema": 1, "cpus": cpus}, indent=1)
    (into / FILE).write_text(f"{text}\n", encoding="utf-8")
