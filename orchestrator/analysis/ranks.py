# SPDX-License-Identifier: Apache-2.0
"""Two samples and what tells them apart, without assumptions on their distribution.

The Mann–Whitney test is exact whatever ties there are: its distribution is that of the rank sum
over all ways to deal the pooled midranks into two hands, counted by dynamic programming. Nothing
is approximated up to `EXACT_UP_TO` values; above, the normal distribution with the correction
for ties is closer than anyone can read. docs/nightly.md names the sources.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.statistics import CONFIDENCE, SEED, Estimate

EXACT_UP_TO = 80
RESAMPLES = 2000
# All differences of all resamples at once would take much memory for large samples.
_PARTS = 8

type Floats = NDArray[np.float64]
type Values = Sequence[float] | Floats


def mann_whitney(before: Values, after: Values) -> float:
    """The two-sided p-value that both samples come from one distribution.

    Raises ValueError when a sample is empty or holds NaN.
    """
    first, second = _sample(before), _sample(after)
    doubled = _doubled_midranks(np.concatenate([first, second]))
    observed = int(doubled[: len(first)].sum())
    if len(doubled) <= EXACT_UP_TO:
        return _exact(doubled, len(first), observed)
    return _normal(doubled, len(first), observed)


def smallest_p(before: int, after: int) -> float:
    """The least p-value that samples of these sizes can give."""
    return min(1.0, 2.0 / math.comb(before + after, before))


def hodges_lehmann(before: Values, after: Values) -> float:
    """The shift: the median of all differences of a value after and a value before."""
    return float(np.median(_sample(after)[:, None] - _sample(before)[None, :]))


def shift_ratio(
    before: Values,
    after: Values,
    *,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Estimate:
    """1 + shift / median(before), with the percentile bootstrap interval of both together.

    n is the smaller sample's size; with one value on a side there is no interval. The values of
    `before` must be positive.
    """
    first, second = _sample(before), _sample(after)
    if (first <= 0).any() or not np.isfinite([*first, *second]).all():
        raise ValueError("a ratio needs finite values, and positive ones below")
    value = 1.0 + hodges_lehmann(before, after) / float(np.median(first))
    n = min(len(first), len(second))
    if n == 1:
        nan = float("nan")
        return Estimate(value=value, low=nan, high=nan, n=1, confidence=confidence)
    draw = np.random.default_rng([seed, len(first), len(second)])
    lower = first[draw.integers(0, len(first), (RESAMPLES, len(first)))]
    upper = second[draw.integers(0, len(second), (RESAMPLES, len(second)))]
    ratios = np.concatenate(
        [
            1.0 + _shifts(a, b) / np.median(a, axis=1)
            for a, b in zip(
                np.array_split(lower, _PARTS), np.array_split(upper, _PARTS), strict=True
            )
        ]
    )
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail], method="inverted_cdf")
    return Estimate(
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        n=n,
        confidence=confidence,
    )


def _shifts(before: Floats, after: Floats) -> Floats:
    """The shift of each row."""
    differences = after[:, :, None] - before[:, None, :]
    shifts: Floats = np.median(differences.reshape(len(before), -1), axis=1)
    return shifts


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being many: calling all that are at most q a change keeps the
    expected share of false ones among them at or below q."""
    count = len(p_values)
    order = sorted(range(count), key=lambda place: p_values[place], reverse=True)
    adjusted = [1.0] * count
    least = 1.0
    for position, place in enumerate(order):
        least = min(least, p_values[place] * (count / (count - position)))
        adjusted[place] = least
    return adjusted


def _sample(values: Values) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 0 or np.isnan(sample).any():
        raise ValueError("a sample needs at least one value and no NaN")
    return sample


def _doubled_midranks(values: Floats) -> NDArray[np.int64]:
    """Twice the rank of each value, from 2; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled: NDArray[np.int64] = (2 * last - counts + 1)[inverse]
    return doubled


def _exact(doubled: NDArray[np.int64], chosen: int, observed: int) -> float:
    """By counting in how many ways `chosen` of the ranks have each sum."""
    most = int(doubled.sum())
    ways = np.zeros((chosen + 1, most + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : most + 1 - rank].copy()
    sums = np.arange(most + 1)
    # Both sides: all sums that lie at least as far from the middle. Compared in whole numbers.
    total = len(doubled)
    distance = np.abs(sums * total - most * chosen)
    far = distance >= abs(observed * total - most * chosen)
    return float(min(1.0, ways[chosen, far].sum() / ways[chosen].sum()))


def _normal(doubled: NDArray[np.int64], chosen: int, observed: int) -> float:
    total, ranks = len(doubled), doubled / 2.0
    variance = chosen * (total - chosen) / (total - 1) * float(np.var(ranks))
    if variance == 0.0:
        return 1.0
    away = abs(observed / 2.0 - chosen * float(ranks.mean()))
    # Rank sums are whole numbers: half a step belongs to either side.
    z = max(away - 0.5, 0.0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2.0))
