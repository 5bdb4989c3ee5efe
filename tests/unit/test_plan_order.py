# SPDX-License-Identifier: Apache-2.0
"""The order of trials: interleaved, balanced, and the same whenever it is made again."""

from collections.abc import Mapping
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.run.plan import Plan, Trial, make_plan
from orchestrator.spec.model import Experiment
from orchestrator.spec.registry import Application, Generator


class Drivers:
    stacks: Mapping[str, Mapping[str, Application]] = {
        "linux": {"echo": Application(name="echo", protocol="echo", text="echo", counted=True)}
    }
    generators: Mapping[str, Generator] = {}


@cache
def plan(variants: int, loads: int, repetitions: int, seed: int) -> Plan:
    experiment = Experiment.model_validate(
        {
            "schema": 1,
            "name": "order",
            "title": "order",
            "seed": seed,
            "repetitions": repetitions,
            "machines": {"client": {}, "server": {}},
            "links": [{"ends": [{"machine": "client"}, {"machine": "server"}]}],
            "variants": {
                f"v{number}": {"stack": "linux", "app": "echo"} for number in range(variants)
            },
            "matrix": {"load": list(range(1, loads + 1))},
        }
    )
    return make_plan(experiment, Drivers(), inputs={})


def measured(made: Plan) -> list[Trial]:
    return [trial for trial in made.trials if trial.kind == "measure"]


def rounds(made: Plan, size: int) -> list[list[Trial]]:
    trials = measured(made)
    return [trials[start : start + size] for start in range(0, len(trials), size)]


def test_variants_alternate_in_both_directions() -> None:
    order = [trial.variant for trial in measured(plan(3, 2, 2, 1))]
    forth, back = ["v0", "v1", "v2"], ["v2", "v1", "v0"]
    assert order == forth + back + forth + back


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**53 - 1))
def test_a_round_is_one_point_and_every_point_is_visited(
    variants: int, loads: int, repetitions: int, seed: int
) -> None:
    made = plan(variants, loads, repetitions, seed)
    by_round = rounds(made, variants)
    assert len(by_round) == loads * repetitions
    for one in by_round:
        assert len({(trial.offered_rps, trial.repetition) for trial in one}) == 1
        assert len({trial.variant for trial in one}) == variants
    visited = [(one[0].repetition, one[0].offered_rps) for one in by_round]
    assert len(set(visited)) == loads * repetitions
    assert [repetition for repetition, _ in visited] == sorted(r for r, _ in visited)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**53 - 1))
def test_a_steady_drift_meets_all_variants_alike(
    variants: int, loads: int, repetitions: int, seed: int
) -> None:
    trials = measured(plan(variants, loads, repetitions, seed))
    places: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        places.setdefault(trial.variant, []).append(place)
    means = [sum(found) / len(found) for found in places.values()]
    # Every pair of rounds is symmetric; only an odd last round is not.
    odd = loads * repetitions % 2
    assert max(means) - min(means) <= odd * variants / (loads * repetitions) + 1e-9


def test_the_order_of_loads_follows_the_seed() -> None:
    def order(seed: int, repetition: int) -> list[float | None]:
        trials = measured(plan(1, 6, 2, seed))
        return [trial.offered_rps for trial in trials if trial.repetition == repetition]

    assert order(1, 1) == order(1, 1)
    orders = {tuple(order(seed, repetition)) for seed in range(10) for repetition in (1, 2)}
    assert len(orders) > 10


def test_this_order_never_changes() -> None:
    """A resumed run makes its plan again, perhaps with a newer Python."""
    assert [trial.offered_rps for trial in measured(plan(1, 6, 1, 1))] == [
        2.0,
        5.0,
        3.0,
        6.0,
        4.0,
        1.0,
    ]
    assert plan(1, 6, 1, 1).trials[0].seed == 1614910954783024


def test_accounting_is_last_and_in_the_middle() -> None:
    trials = plan(2, 5, 2, 1).trials
    assert [trial.kind for trial in trials[-2:]] == ["accounting"] * 2
    assert all(trial.kind == "measure" for trial in trials[:-2])
    assert [trial.offered_rps for trial in trials[-2:]] == [3.0, 3.0]
