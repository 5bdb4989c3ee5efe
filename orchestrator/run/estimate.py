# SPDX-License-Identifier: Apache-2.0
"""How long a run takes, as its user is told before it begins. Nothing else depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.run import compose
from orchestrator.run.plan import Plan, Trial
from orchestrator.spec.model import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of wall time: boot, until the guests of a topology are up; trial, for one beside its
    load; polling, for one in which a CPU never rests, beside that; load, for a second of load."""

    boot: float
    trial: float
    polling: float
    load: float


# Measured under TCG on two cores, with guests in both of them. What polls also takes the NIC, and
# gives it back.
COSTS: Mapping[Clock, Costs] = {
    "wall": Costs(boot=9, trial=1.5, polling=8, load=1),
    # The boot is one without a snapshot: a later run of the same topology is spared it. A CPU at
    # rest costs nothing here, one that polls every instruction, through set-up and rundown too.
    "virtual": Costs(boot=30, trial=4.5, polling=15, load=25),
}


def trials_s(plan: Plan, slots: int) -> float:
    """Of all trials of a plan, from the first one's begin to the last one's end."""
    total = 0.0
    for topology in plan.topologies:
        mine = [trial for trial in plan.trials if trial.topology == topology.id]
        total += _sum_s(plan, mine) / min(slots, len(mine))
    return total


def run_s(plan: Plan, slots: int) -> float:
    """Of a run whose inputs are built."""
    return trials_s(plan, slots) + len(plan.topologies) * COSTS[plan.clock].boot


def _sum_s(plan: Plan, trials: Sequence[Trial]) -> float:
    costs, total = COSTS[plan.clock], 0.0
    for trial in trials:
        total += costs.trial + costs.load * (trial.warmup_ns + trial.duration_ns) / 1e9
        if compose.polling_machine(trial, plan.topology(trial.topology)):
            total += costs.polling
    return total
