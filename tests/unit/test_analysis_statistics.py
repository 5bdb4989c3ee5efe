# SPDX-License-Identifier: Apache-2.0
"""Medians, intervals and measures of balance against known values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.histogram import from_values, merge
from orchestrator.analysis.statistics import (
    Estimate,
    attainable_confidence,
    jain_index,
    max_min_ratio,
    median_interval,
    quantile_interval,
)

SAMPLES = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=12)


def test_three_repetitions_give_their_range() -> None:
    found = median_interval([3.0, 1.0, 2.0])
    assert (found.value, found.low, found.high, found.n) == (2.0, 1.0, 3.0, 3)
    assert found.attainable == 0.75


def test_what_few_samples_can_carry() -> None:
    assert [attainable_confidence(n) for n in (1, 2, 3, 5, 6)] == [0, 0.5, 0.75, 0.9375, 0.96875]
    assert median_interval(list(range(6))).attainable == 0.95


def test_one_value_has_no_interval() -> None:
    found = median_interval([7.0])
    assert found.value == 7.0 and not found.has_interval and math.isnan(found.low)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_no_value_is_no_median(values: list[float]) -> None:
    with pytest.raises(ValueError, match="median"):
        median_interval(values)


def test_four_values_match_the_whole_bootstrap_distribution() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    medians = sorted(np.median(draw) for draw in itertools.product(values, repeat=4))
    found = median_interval(values)
    assert found.low == medians[math.ceil(0.025 * len(medians)) - 1]
    assert found.high == medians[math.ceil(0.975 * len(medians)) - 1]


@given(SAMPLES)
def test_intervals_hold_the_median_and_stay_in_range(values: list[float]) -> None:
    found = median_interval(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=5))
def test_order_of_few_repetitions_does_not_matter(values: list[float]) -> None:
    assert median_interval(values) == median_interval(values[::-1])


def test_large_samples_are_seeded_and_cover() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        found = median_interval(random.normal(0.0, 1.0, 25))
        hits += found.low <= 0.0 <= found.high
    assert hits / 60 >= 0.85
    values = random.normal(0.0, 1.0, 25)
    assert median_interval(values) == median_interval(values)


def test_pooled_quantiles_resample_whole_repetitions() -> None:
    parts = [from_values(np.full(100, 1000)), from_values(np.full(100, 2000))]
    found = quantile_interval(parts, 0.99)
    error = parts[0].relative_error
    assert found.value == merge(parts).quantile(0.99) == 2000
    assert found.low == pytest.approx(1000 * (1 - error), rel=1e-2)
    assert found.high == pytest.approx(2000 * (1 + error), rel=1e-2)
    assert not quantile_interval(parts[:1], 0.5).has_interval


def test_balance() -> None:
    assert jain_index([5, 5, 5]) == 1.0
    assert jain_index([9, 0, 0]) == pytest.approx(1 / 3)
    assert math.isnan(jain_index([0, 0]))
    assert max_min_ratio([6, 3]) == 2.0
    assert math.isinf(max_min_ratio([6, 0]))
    assert math.isnan(max_min_ratio([0, 0])) and math.isnan(max_min_ratio([]))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=64).filter(any))
def test_jain_lies_between_one_nth_and_one(shares: list[int]) -> None:
    assert 1 / len(shares) - 1e-9 <= jain_index(shares) <= 1 + 1e-9


def test_an_estimate_says_what_was_asked_for() -> None:
    assert Estimate(value=1, low=1, high=1, n=100).attainable == 0.95
