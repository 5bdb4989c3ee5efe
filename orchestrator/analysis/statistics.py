# SPDX-License-Identifier: Apache-2.0
"""Medians with bootstrap intervals, and measures of balance.

Why the percentile bootstrap: the statistic is a median of few values. BCa corrects bias and skew
with a jackknife, which is inconsistent for a median (removing a value moves it by a whole gap),
and its acceleration is 0/0 when values tie. The percentile interval keeps order under any
monotone rescaling and never leaves the range of what was seen.

Up to 5 values all resamples are enumerated, so that no random number is involved; above that a
seeded generator draws them.

What an interval of few repetitions means: no interval that is free of assumptions on the
distribution can hold the true median with more than 1 - 2^(1-n) probability: 75 % for n = 3,
87.5 % for 4, 93.75 % for 5. With three repetitions the interval *is* the range of the three.
`Estimate.attainable` carries that bound, and reports print it; six repetitions are the fewest for
which "95 %" can be true.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.histogram import Histogram, merge

CONFIDENCE = 0.95
RESAMPLES = 10_000
ENUMERATED_UP_TO = 5
SEED = 20260101

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval. n: samples it rests on.

    confidence: asked for. attainable: the most that n samples can give (see above).
    With one sample there is no interval: low and high are NaN.
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = CONFIDENCE

    @property
    def attainable(self) -> float:
        return min(self.confidence, attainable_confidence(self.n))

    @property
    def has_interval(self) -> bool:
        return self.n > 1 and not math.isnan(self.low)


def attainable_confidence(n: int) -> float:
    """The most confidence that the range of n samples can give for a median."""
    return 1.0 - 2.0 ** (1 - n) if n > 1 else 0.0


@lru_cache(maxsize=64)
def _resamples(n: int, seed: int) -> NDArray[np.int64]:
    """Rows of indices into n samples: all n^n of them, or RESAMPLES random ones."""
    if n <= ENUMERATED_UP_TO:
        return np.array(list(itertools.product(range(n), repeat=n)), dtype=np.int64)
    return np.random.default_rng([seed, n]).integers(0, n, size=(RESAMPLES, n))


def _interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    # Inverted CDF: an interval made of values that resampling gave, not of blends of them.
    low, high = np.quantile(resampled, [tail, 1.0 - tail], method="inverted_cdf")
    return float(low), float(high)


def median_interval(
    values: Sequence[float] | Floats, *, confidence: float = CONFIDENCE, seed: int = SEED
) -> Estimate:
    """The median of the values with its percentile bootstrap interval.

    Infinite values are allowed, NaN is not. Raises ValueError for no values or NaN.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 0 or np.isnan(sample).any():
        raise ValueError("a median needs at least one value and no NaN")
    value = float(np.median(sample))
    if len(sample) == 1:
        return Estimate(
            value=value, low=float("nan"), high=float("nan"), n=1, confidence=confidence
        )
    medians = np.median(sample[_resamples(len(sample), seed)], axis=1)
    low, high = _interval(medians, confidence)
    return Estimate(value=value, low=low, high=high, n=len(sample), confidence=confidence)


def quantile_interval(
    histograms: Sequence[Histogram],
    q: float,
    *,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Estimate:
    """The q-quantile of all samples of all repetitions together.

    The interval resamples whole repetitions: requests of one repetition share its queues and are
    not independent, so resampling requests would give intervals that are far too narrow. The
    bucket width adds `Histogram.relative_error` to either side.
    """
    filled = [one for one in histograms if one.count]
    pooled = merge(filled)
    value = pooled.quantile(q)
    n = len(filled)
    if n == 1:
        nan = float("nan")
        return Estimate(value=value, low=nan, high=nan, n=1, confidence=confidence)
    counts = np.zeros((n, len(pooled.indices)), dtype=np.int64)
    for row, one in enumerate(filled):
        counts[row, np.searchsorted(pooled.indices, one.indices)] = one.counts
    chosen = _resamples(n, seed)
    weights = np.stack([(chosen == row).sum(axis=1) for row in range(n)], axis=1)
    weights, repeats = np.unique(weights, axis=0, return_counts=True)
    cumulated = np.cumsum(weights @ counts, axis=1)
    rank = np.clip(np.ceil(q * cumulated[:, -1]), 1, None)
    places = (cumulated < rank[:, None]).sum(axis=1)
    low, high = _interval(np.repeat(pooled.middles[places], repeats), confidence)
    error = pooled.relative_error
    return Estimate(
        value=value,
        low=min(low, value) * (1.0 - error),
        high=max(high, value) * (1.0 + error),
        n=n,
        confidence=confidence,
    )


def jain_index(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all parts are equal, 1/n when one part has everything.

    NaN when there is nothing to share.
    """
    total, squares = sum(shares), sum(share * share for share in shares)
    return total * total / (len(shares) * squares) if squares else float("nan")


def max_min_ratio(shares: Sequence[float]) -> float:
    """Largest part over smallest; infinite when a part is empty, NaN when there is nothing."""
    if not shares or not max(shares):
        return float("nan")
    return max(shares) / min(shares) if min(shares) else float("inf")
