# SPDX-License-Identifier: Apache-2.0
"""Histograms: the bucket layout of the load generator, quantile bounds, merging."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.histogram import (
    bucket_high,
    bucket_index,
    bucket_low,
    empty,
    from_values,
    merge,
)

VALUES = st.lists(st.integers(0, 2**62), min_size=1, max_size=200)
PRECISION = st.integers(1, 16)


def plain_index(value: int, precision: int) -> int:
    """The formula of the raw format, word for word."""
    if value < 2**precision:
        return value
    e = value.bit_length() - 1
    return ((e - precision + 1) << precision) + ((value >> (e - precision)) - (1 << precision))


@given(VALUES, PRECISION)
def test_buckets_follow_the_formula(values: list[int], precision: int) -> None:
    found = bucket_index(np.array(values), precision).tolist()
    assert found == [plain_index(value, precision) for value in values]


@pytest.mark.parametrize("power", range(1, 62))
def test_buckets_around_powers_of_two(power: int) -> None:
    values = [2**power - 1, 2**power, 2**power + 1]
    found = bucket_index(np.array(values), 7).tolist()
    assert found == [plain_index(value, 7) for value in values]


@given(VALUES, PRECISION)
def test_a_bucket_holds_its_values_and_is_narrow(values: list[int], precision: int) -> None:
    array = np.array(values)
    index = bucket_index(array, precision)
    low, high = bucket_low(index, precision), bucket_high(index, precision)
    assert (low <= array).all() and (array <= high).all()
    assert ((high - low) <= low / 2**precision).all()


@given(VALUES, st.floats(0.001, 1.0))
def test_quantiles_are_within_the_bound(values: list[int], q: float) -> None:
    histogram = from_values(np.array(values))
    true = sorted(values)[max(math.ceil(q * len(values)), 1) - 1]
    error = abs(histogram.quantile(q) - true)
    assert error <= true * histogram.relative_error + 1e-9 * true


@given(VALUES)
def test_quantiles_never_leave_what_was_seen_and_ascend(values: list[int]) -> None:
    histogram = from_values(np.array(values))
    found = histogram.quantiles(np.linspace(0.01, 1.0, 50))
    assert (np.diff(found) >= 0).all()
    assert min(values) <= found[0] * (1 + 1e-12) and found[-1] <= max(values) * (1 + 1e-12)


@given(st.lists(st.lists(st.integers(0, 2**50), max_size=50), min_size=1, max_size=5))
def test_merging_is_pooling(parts: list[list[int]]) -> None:
    merged = merge([from_values(np.array(part, dtype=np.int64)) for part in parts])
    pooled = from_values(np.array(sum(parts, []), dtype=np.int64))
    assert merged.indices.tolist() == pooled.indices.tolist()
    assert merged.counts.tolist() == pooled.counts.tolist()
    assert (merged.minimum, merged.maximum, merged.total) == (
        pooled.minimum,
        pooled.maximum,
        pooled.total,
    )


def test_merging_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="precision"):
        merge([from_values(np.array([1]), 7), from_values(np.array([1]), 8)])
    with pytest.raises(ValueError, match="precision"):
        merge([])


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert math.isnan(empty(7).quantile(0.5))
    assert math.isnan(empty(7).mean)
    assert merge([empty(7), empty(7)]).count == 0


def test_the_ccdf_ends_at_zero() -> None:
    values, above = from_values(np.array([10, 20, 20, 40])).share_above()
    assert values.tolist() == [10, 20, 40]
    assert above.tolist() == [0.75, 0.25, 0.0]
