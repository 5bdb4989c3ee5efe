# SPDX-License-Identifier: Apache-2.0
"""Verdicts: exact ones to the last digit, those on noise by how often they err."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis import thresholds
from orchestrator.analysis.points import Sample
from orchestrator.analysis.thresholds import TABLE, threshold_for
from orchestrator.analysis.verdicts import (
    Judgement,
    Method,
    Pair,
    Side,
    Verdict,
    judge,
    noise_floors,
    noise_of_halves,
)
from orchestrator.spec.metrics import METRICS


@pytest.fixture(autouse=True)
def defaults_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured of a metric does not decide here: the defaults of both clocks do."""
    rows = tuple(row for row in thresholds.TABLE if row.metric == "*")
    monkeypatch.setattr(thresholds, "TABLE", rows)


def side(values: list[float], *, first_seed: int = 1) -> Side:
    return Side(
        valid=tuple(
            Sample(trial=f"t{n}", repetition=n, value=float(value), reason="", seed=first_seed + n)
            for n, value in enumerate(values)
        )
    )


def pair(
    before: list[float] | None,
    after: list[float] | None,
    *,
    clock: str = "virtual",
    direction: str = "lower",
    noise: tuple[float, ...] = (),
) -> Pair:
    return Pair(
        metric="latency_p50",
        clock=clock,
        direction=direction,
        before=None if before is None else side(before),
        after=None if after is None else side(after),
        noise=noise,
    )


def one(found: Pair, threshold: float | None = None) -> Judgement:
    return judge([found], threshold=threshold)[0]


# -- virtual clock


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (1000, Verdict.SAME),
        (1005, Verdict.SAME),  # exactly the threshold
        (1005.0000000001, Verdict.SLOWER),
        (1006, Verdict.SLOWER),
        (995.1, Verdict.SAME),
        (995, Verdict.FASTER),  # 1000/995 is beyond 1.005: ratios are symmetric
    ],
)
def test_the_threshold_is_exact(after: float, verdict: Verdict) -> None:
    assert one(pair([1000], [after])).verdict is verdict


@given(st.integers(1, 10**15), st.integers(1, 999))
def test_exactly_the_threshold_is_the_same_for_any_value(base: int, thousandths: int) -> None:
    share = thousandths / 1000
    before = base * 1000 if base < 10**9 else 1000
    limit = before * (1000 + thousandths) // 1000
    assert one(pair([before], [limit]), share).verdict is Verdict.SAME
    assert one(pair([before], [limit + 1]), share).verdict is Verdict.SLOWER
    assert one(pair([limit], [before]), share).verdict is Verdict.SAME


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=7))
def test_a_measurement_is_the_same_as_itself(values: list[float]) -> None:
    found = one(pair(values, values))
    assert found.verdict is Verdict.SAME and "identical" in found.why
    assert found.test is Method.EXACT


def test_seeds_are_compared_with_their_own() -> None:
    """Seeds differ by far more than the code does; only pairs of one seed show that."""
    before, after = [100.0, 200.0, 300.0], [102.0, 204.0, 306.0]
    found = one(pair(before, after))
    assert found.verdict is Verdict.SLOWER and found.ratio is not None
    assert found.ratio.value == pytest.approx(1.02)
    shuffled = Side(valid=tuple(reversed(side(after).valid)))
    again = one(dataclasses.replace(pair(before, after), after=shuffled))
    assert again.why == found.why


def test_without_a_common_seed_there_is_nothing_to_compare() -> None:
    before = pair([1.0], None)
    other = dataclasses.replace(before, after=side([1.0], first_seed=77))
    assert one(other).verdict is Verdict.NOT_MEASURED


def test_direction_decides_what_a_change_is() -> None:
    assert one(pair([100], [110], direction="higher")).verdict is Verdict.FASTER
    found = one(pair([100], [110], direction="none"))
    assert found.verdict is Verdict.INCONCLUSIVE and "neither way" in found.why


def test_something_where_there_was_nothing() -> None:
    assert one(pair([0, 0], [0, 0])).verdict is Verdict.SAME
    assert one(pair([0], [3])).verdict is Verdict.SLOWER
    assert one(pair([3], [0])).verdict is Verdict.FASTER
    assert one(pair([0, 0, 0], [0, 0, 3])).verdict is Verdict.INCONCLUSIVE
    assert one(pair([1], [float("inf")])).verdict is Verdict.INCONCLUSIVE


def test_what_is_not_there_is_told_apart() -> None:
    assert one(pair(None, [1])).verdict is Verdict.NOT_MEASURED
    void = Side(valid=(), invalid=side([1]).valid)
    found = one(Pair(metric="x", clock="virtual", direction="lower", before=side([1]), after=void))
    assert found.verdict is Verdict.INVALID and "in B" in found.why


# -- wall clock


def simulated(factor: float, *, cells: int, n: int, noise: float, seed: int) -> list[Pair]:
    """Cells of interleaved repetitions; the first one's code is slower by the factor."""
    random = np.random.default_rng(seed)
    pairs = []
    for cell in range(cells):
        before = list(random.lognormal(np.log(100.0), noise, n))
        after = list(random.lognormal(np.log(100.0), noise, n) * (factor if cell == 0 else 1.0))
        halves = (*noise_of_halves(side(before).valid), *noise_of_halves(side(after).valid))
        pairs.append(pair(before, after, clock="wall", noise=halves))
    return pairs


CHANGED = (Verdict.SLOWER, Verdict.FASTER)


def test_false_alarms_on_the_same_code() -> None:
    """20 nights of 20 cells where nothing changed: no more than the rate asked for."""
    alarms = 0
    for seed in range(20):
        found = judge(simulated(1.0, cells=20, n=8, noise=0.04, seed=seed))
        alarms += any(one.verdict in CHANGED for one in found)
    assert alarms <= 1  # 5 % of 20


@pytest.mark.parametrize(("factor", "expected"), [(1.3, Verdict.SLOWER), (1 / 1.3, Verdict.FASTER)])
def test_shifts_are_found_among_cells_that_did_not_change(factor: float, expected: Verdict) -> None:
    hits = 0
    for seed in range(6):
        first, *others = judge(simulated(factor, cells=20, n=10, noise=0.03, seed=seed))
        hits += first.verdict is expected
        assert not [one for one in others if one.verdict in CHANGED]
    assert hits == 6


def test_same_needs_the_whole_interval() -> None:
    tight = [100.0 + n / 10 for n in range(8)]
    assert one(pair(tight, tight, clock="wall")).verdict is Verdict.SAME
    wide = [80.0, 90.0, 95.0, 100.0, 105.0, 110.0, 120.0, 125.0]
    found = one(pair(wide, wide, clock="wall"))
    assert found.verdict is Verdict.INCONCLUSIVE and "straddles" in found.why


def test_a_threshold_is_never_below_the_noise() -> None:
    before = [100.0 + n / 10 for n in range(8)]
    after = [value * 1.08 for value in before]
    assert one(pair(before, after, clock="wall")).verdict is Verdict.SLOWER
    found = one(pair(before, after, clock="wall", noise=(0.01, -0.12)))
    assert found.verdict is Verdict.SAME
    assert (found.noise, found.threshold, found.practical) == (0.12, 0.12, 0.05)


def test_few_repetitions_say_what_they_cannot() -> None:
    found = one(pair([100, 101, 102], [200, 201, 202], clock="wall"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "3 and 3 repetitions cannot do better" in found.why
    found = one(pair([100, 101], [200, 201], clock="wall"))
    assert "3 are needed" in found.why and found.p is None


def test_many_cells_share_one_rate_of_error() -> None:
    before, after = [100.0, 101, 102, 103], [150.0, 151, 152, 153]
    alone = one(pair(before, after, clock="wall"))
    assert alone.verdict is Verdict.SLOWER
    others = [pair(before, before, clock="wall")] * 9
    crowd, *_ = judge([pair(before, after, clock="wall"), *others])
    assert crowd.p == alone.p and crowd.adjusted == pytest.approx(10 * (alone.p or 0))
    assert crowd.verdict is Verdict.INCONCLUSIVE


@settings(max_examples=40)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60))
def test_the_noise_floor_covers_95_of_100(changes: list[float]) -> None:
    (floor,) = noise_floors([pair([1], [1], clock="wall", noise=tuple(changes))]).values()
    assert sum(change <= floor for change in changes) >= 0.95 * len(changes)
    assert floor in changes


def test_halves_alternate_in_time() -> None:
    drifting = side([100.0 + n for n in range(12)])
    (change,) = noise_of_halves(drifting.valid)
    assert abs(change) < 0.011  # in halves of first and last six it would be 6 %
    assert noise_of_halves(side([1.0, 2.0, 3.0, 4.0, 5.0]).valid) == ()


# -- the table of thresholds


def test_every_metric_has_a_threshold_on_both_clocks() -> None:
    for metric in METRICS:
        assert threshold_for(metric, "virtual").share > 0
        assert threshold_for(metric, "wall").share > 0
    assert threshold_for("anything", "virtual").share == 0.005
    assert all(row.why for row in TABLE)
    with pytest.raises(ValueError, match="no threshold"):
        threshold_for("x", "lunar")
