# SPDX-License-Identifier: Apache-2.0
"""The rank test, the shift and the adjustment for many tests, against brute force and theory."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.ranks import (
    benjamini_hochberg,
    hodges_lehmann,
    mann_whitney,
    shift_ratio,
    smallest_p,
)

SMALL = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=5)
PROBABILITIES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)


def brute_force(before: list[float], after: list[float]) -> float:
    """The p-value by dealing the pooled values in every possible way."""
    pooled = [*before, *after]
    ranks = [
        sum(other < value for other in pooled) + (pooled.count(value) + 1) / 2 for value in pooled
    ]
    middle = statistics.fmean(ranks) * len(before)
    observed = abs(sum(ranks[: len(before)]) - middle)
    hands = list(itertools.combinations(ranks, len(before)))
    return sum(abs(sum(hand) - middle) >= observed - 1e-9 for hand in hands) / len(hands)


@given(SMALL, SMALL)
def test_the_test_is_exact_with_ties(before: list[float], after: list[float]) -> None:
    assert mann_whitney(before, after) == pytest.approx(brute_force(before, after))


def test_known_values() -> None:
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)
    assert mann_whitney([1.0] * 4, [1.0] * 4) == 1.0
    assert smallest_p(3, 3) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="NaN"):
        mann_whitney([1.0, math.nan], [1.0])


def test_many_values_are_close_to_the_exact_ones() -> None:
    random = np.random.default_rng(1)
    for shift in (0.0, 0.3, 0.6):
        first, second = random.normal(0, 1, 38), random.normal(shift, 1, 38)
        exact = mann_whitney(first, second)
        # Every value three times: 228 are beyond the exact method, and say the same more strongly.
        assert mann_whitney(list(first) * 3, list(second) * 3) <= exact + 1e-9
    aa = [mann_whitney(random.normal(0, 1, 60), random.normal(0, 1, 60)) for _ in range(400)]
    assert 0.02 <= statistics.fmean(p <= 0.05 for p in aa) <= 0.08


def test_false_alarms_are_as_rare_as_promised() -> None:
    random = np.random.default_rng(2)
    for draw in (random.normal, random.gumbel, random.lognormal):
        alarms = [mann_whitney(draw(0, 1, 6), draw(0, 1, 6)) <= 0.05 for _ in range(500)]
        assert statistics.fmean(alarms) <= 0.08


@given(SMALL, st.floats(-100.0, 100.0))
def test_the_shift_is_found(values: list[float], shift: float) -> None:
    moved = [value + shift for value in values]
    assert hodges_lehmann(values, moved) == pytest.approx(shift, abs=1e-9)


def test_the_interval_holds_the_truth() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        found = shift_ratio(random.normal(100, 5, 12), random.normal(110, 5, 12))
        assert found.low <= found.value <= found.high
        held += found.low <= 1.1 <= found.high
    assert held >= 85


def test_an_interval_needs_two_values_and_a_ratio_a_base() -> None:
    assert not shift_ratio([1.0], [2.0, 3.0]).has_interval
    for before in ([0.0, 1.0], [math.inf]):
        with pytest.raises(ValueError, match="positive"):
            shift_ratio(before, [1.0])


@given(PROBABILITIES)
def test_adjusted_values_keep_the_order_and_only_grow(ps: list[float]) -> None:
    adjusted = benjamini_hochberg(ps)
    for (p, q), (other, other_q) in itertools.product(zip(ps, adjusted, strict=True), repeat=2):
        assert p <= q <= 1.0
        if p <= other:
            assert q <= other_q
    # The textbook's rule: the largest k with p(k) <= k/m * alpha, and all below it.
    ordered, alpha = sorted(ps), 0.05
    ranks = [k for k, p in enumerate(ordered, 1) if p * len(ps) / k <= alpha]
    assert sum(q <= alpha for q in adjusted) == (max(ranks) if ranks else 0)


@settings(max_examples=30)
@given(PROBABILITIES, st.floats(0.0, 1.0))
def test_one_test_more_never_helps_the_weak_ones(ps: list[float], more: float) -> None:
    before, after = benjamini_hochberg(ps), benjamini_hochberg([*ps, max(more, *ps)])
    assert all(q >= p - 1e-12 for p, q in zip(before, after, strict=False))
