# SPDX-License-Identifier: Apache-2.0
"""The largest load within an objective, at and beyond the edges of a sweep."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_run import LOADS, QUICKSTART, RunBuilder

from orchestrator.analysis import build_results
from orchestrator.analysis.slo import Load, MaxLoad, Objective, State, combine, max_load, under_slo
from orchestrator.report import formats

LIMIT = Objective(metric="latency_p99", limit_ns=100.0)


def sweep(*points: tuple[float, float]) -> list[Load]:
    return [Load(offered_rps=x, latency_ns=y) for x, y in points]


def test_interpolates_in_load_and_in_the_logarithm_of_latency() -> None:
    found = max_load(sweep((1000, 10), (2000, 1000)), LIMIT)
    assert found.state is State.MEASURED
    assert found.rps == pytest.approx(1500)


def test_a_point_on_the_limit_passes() -> None:
    assert max_load(sweep((1000, 100), (2000, 100)), LIMIT).state is State.NOT_REACHED
    assert max_load(sweep((1000, 100), (2000, 101)), LIMIT).rps == pytest.approx(1000)


def test_never_failing_is_a_lower_bound() -> None:
    assert max_load(sweep((1000, 10), (4000, 20)), LIMIT) == MaxLoad(
        state=State.NOT_REACHED, rps=4000
    )


def test_failing_at_once_is_an_upper_bound() -> None:
    assert max_load(sweep((1000, 101), (4000, 20)), LIMIT) == MaxLoad(
        state=State.BELOW_FIRST, rps=1000
    )


def test_a_dip_beyond_the_knee_does_not_count() -> None:
    found = max_load(sweep((1000, 10), (2000, 1000), (3000, 50)), LIMIT)
    assert found.rps == pytest.approx(1500)


def test_the_passing_side_is_monotone() -> None:
    bumpy = max_load(sweep((1000, 50), (2000, 10), (3000, 200)), LIMIT)
    smooth = max_load(sweep((1000, 10), (2000, 50), (3000, 200)), LIMIT)
    assert bumpy == smooth


def test_lost_requests_are_the_tail() -> None:
    lossy = [*sweep((1000, 10)), Load(offered_rps=2000, latency_ns=20, returned=0.98)]
    assert max_load(lossy, LIMIT) == MaxLoad(state=State.MEASURED, rps=1000)
    kept = [*sweep((1000, 10)), Load(offered_rps=2000, latency_ns=20, returned=0.995)]
    assert max_load(kept, LIMIT).state is State.NOT_REACHED
    strict = Objective(metric="latency_p999", limit_ns=100.0)
    assert max_load(kept, strict).state is State.MEASURED


def void(rps: float) -> Load:
    return Load(offered_rps=rps, latency_ns=math.nan, void=True)


def test_nothing_is_interpolated_over_a_voided_point() -> None:
    gap = [*sweep((1000, 10), (4000, 1000)), void(2000)]
    assert max_load(gap, LIMIT) == MaxLoad(state=State.BETWEEN, rps=1000, below=4000)
    # A load that passes above it shows that the voided one was no knee.
    passed = [*sweep((1000, 10), (3000, 10), (4000, 1000)), void(2000)]
    assert max_load(passed, LIMIT).rps == pytest.approx(3500)


def test_voided_points_at_the_ends_change_nothing() -> None:
    points = sweep((1000, 10), (2000, 1000))
    assert max_load([void(500), *points, void(3000)], LIMIT) == max_load(points, LIMIT)
    assert max_load([void(500), *sweep((1000, 1000))], LIMIT).state is State.BELOW_FIRST
    assert max_load([*sweep((1000, 10)), void(2000)], LIMIT) == MaxLoad(
        state=State.NOT_REACHED, rps=1000
    )
    assert max_load([void(500)], LIMIT).state is State.NO_POINTS


def test_order_of_trials_does_not_matter() -> None:
    points = sweep((1000, 10), (2000, 50), (3000, 200))
    assert max_load(points, LIMIT) == max_load(points[::-1], LIMIT)


def test_nothing_measured() -> None:
    assert max_load([], LIMIT).state is State.NO_POINTS
    nothing = combine([], LIMIT)
    assert nothing.median.state is State.NO_POINTS and math.isnan(nothing.median.rps)


def test_repetitions_with_numbers_have_an_interval() -> None:
    answers = [MaxLoad(state=State.MEASURED, rps=rps) for rps in (900, 1000, 1200)]
    found = combine(answers, LIMIT)
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (1000, 900, 1200)


def test_repetitions_that_disagree_have_none() -> None:
    measured = MaxLoad(state=State.MEASURED, rps=900)
    beyond = MaxLoad(state=State.NOT_REACHED, rps=1000)
    below = MaxLoad(state=State.BELOW_FIRST, rps=100)
    assert combine([beyond, measured, beyond], LIMIT).median == beyond
    assert combine([below, measured, measured], LIMIT).median == measured
    assert combine([beyond, measured], LIMIT).median == measured
    assert combine([beyond, measured, below], LIMIT).estimate is None


def test_passing_everywhere_and_nowhere_is_undecided() -> None:
    beyond = MaxLoad(state=State.NOT_REACHED, rps=1000)
    below = MaxLoad(state=State.BELOW_FIRST, rps=100)
    found = combine([below, beyond, below], LIMIT)
    assert found.median.state is State.UNDECIDED and found.estimate is None
    assert formats.slo(found) == "undecided: < 100 · ≥ 1,000"
    assert formats.slo_spread(found) == ""


@given(
    st.lists(
        st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)),
        min_size=1,
        max_size=8,
        unique_by=lambda p: p[0],
    )
)
def test_the_answer_lies_within_the_sweep(points: list[tuple[float, float]]) -> None:
    found = max_load(sweep(*points), LIMIT)
    loads = [x for x, _ in points]
    assert min(loads) <= found.rps <= max(loads)


def test_void_trials_are_no_evidence(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    memcached = QUICKSTART[2]
    for offered in LOADS:
        run.trial(memcached, offered, 0)
    results = build_results(run.finish())
    series = results.points.series[0]
    generous = Objective(metric="latency_p50", limit_ns=1e12)
    found = under_slo(results.points, series, generous)
    # The void point above is left out: the answer ends at the last valid one.
    assert found.median == MaxLoad(state=State.NOT_REACHED, rps=4500.0)


def test_no_answer_is_above_what_was_achieved_at_the_failing_load() -> None:
    """A short trial passes an overload before its queue has grown."""
    over = Load(offered_rps=4000, latency_ns=1000, achieved_rps=1500)
    assert max_load([*sweep((1000, 10)), over], LIMIT).rps == 1500
    # What passed was offered, and passed: an achieved rate below it is chance.
    less = Load(offered_rps=4000, latency_ns=1000, achieved_rps=990)
    assert max_load([*sweep((1000, 10)), less], LIMIT).rps == 1000
