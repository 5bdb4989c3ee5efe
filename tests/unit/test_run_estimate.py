# SPDX-License-Identifier: Apache-2.0
"""What a run is said to take follows from its trials, its clock and its slots."""

import pytest

from orchestrator.run import estimate
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import find_experiment, load_experiment


def plan(name: str, *overrides: str) -> Plan:
    return make_plan(load_experiment(find_experiment(name), overrides), Drivers(), inputs={})


def test_on_the_wall_clock_a_second_is_a_second() -> None:
    made = plan("quickstart", "clock=wall", "accounting=false")
    costs = estimate.COSTS["wall"]
    assert estimate.trials_s(made, 1) == pytest.approx(45 * (1.3 + costs.trial))
    assert estimate.run_s(made, 1) == estimate.trials_s(made, 1) + costs.boot


def test_every_topology_boots() -> None:
    made = plan("nics", "clock=wall")
    boots = estimate.run_s(made, 1) - estimate.trials_s(made, 1)
    assert boots == pytest.approx(len(made.topologies) * estimate.COSTS["wall"].boot)
    assert len(made.topologies) > 1


def test_slots_share_the_trials() -> None:
    made = plan("quickstart", "clock=virtual")
    one, two = (estimate.trials_s(made, slots) for slots in (1, 2))
    assert one == pytest.approx(2 * two)
    # More slots than trials help nobody.
    assert estimate.trials_s(made, 200) == estimate.trials_s(made, len(made.trials))


def test_polling_costs_where_rest_is_free() -> None:
    with_polling, without = plan("bypass"), plan("bypass", "matrix.variant=[linux]")
    each = estimate.trials_s(without, 1) / len(without.trials)
    polls = [trial for trial in with_polling.trials if trial.stack == "testpmd"]
    expected = len(with_polling.trials) * each + len(polls) * estimate.COSTS["virtual"].polling
    assert estimate.trials_s(with_polling, 1) == pytest.approx(expected)
