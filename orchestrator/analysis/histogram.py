# SPDX-License-Identifier: Apache-2.0
"""Log-linear histograms as the load generator writes them, in numpy.

With precision P a value v < 2^P has a bucket of its own (index v); a larger one with
e = floor(log2 v) falls into index ((e - P + 1) << P) + ((v >> (e - P)) - 2^P). A bucket's width
is at most 2^-P of its lowest value, so the middle of a bucket is within 2^-(P+1) of every value
in it. The layout is that of dataplane/base/histogram.h and must stay so.

Merging adds counts and loses nothing: quantiles of a merged histogram are those of the pooled
samples, which averages of quantiles are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Integers = NDArray[np.int64]
type Floats = NDArray[np.float64]

PRECISION_MAX = 16


def bucket_index(values: Integers, precision_bits: int) -> Integers:
    """The bucket of each value (values >= 0)."""
    # frexp of a value near a power of two above 2^53 may round up by one octave: put that right.
    exponent = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    exponent = np.maximum(exponent, 0)
    exponent -= (values >> exponent) == 0
    shift = np.maximum(exponent - precision_bits, 0)
    first = np.int64(1) << precision_bits
    large = ((shift + 1) << precision_bits) + ((values >> shift) - first)
    return np.where(values < first, values, large)


def bucket_low(indices: Integers, precision_bits: int) -> Integers:
    """The smallest value of each bucket."""
    octave = indices >> precision_bits
    first = np.int64(1) << precision_bits
    mantissa = (indices & (first - 1)) + first
    return np.where(octave == 0, indices, mantissa << np.maximum(octave - 1, 0))


def bucket_high(indices: Integers, precision_bits: int) -> Integers:
    """The largest value of each bucket."""
    octave = indices >> precision_bits
    width: Integers = np.int64(1) << np.maximum(octave - 1, 0)
    return bucket_low(indices, precision_bits) + width - 1


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counted values, in ns unless its owner says otherwise.

    indices ascend; counts belong to them and are positive. minimum, maximum and total (the sum)
    are those of the values themselves, not of the buckets.
    """

    precision_bits: int
    indices: Integers
    counts: Integers
    minimum: int
    maximum: int
    total: int

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else float("nan")

    @property
    def relative_error(self) -> float:
        """The largest |reported - true| / true of a quantile: half a bucket's relative width."""
        return float(2.0 ** -(self.precision_bits + 1))

    def quantile(self, q: float) -> float:
        """The value of rank ceil(q * count), 0 < q <= 1: the middle of its bucket, kept inside
        what was really seen. NaN for an empty histogram."""
        return float(self.quantiles(np.array([q]))[0])

    def quantiles(self, q: Floats) -> Floats:
        """As `quantile`, for many at once."""
        if self.count == 0:
            return np.full(q.shape, np.nan)
        cumulated = np.cumsum(self.counts)
        rank = np.clip(np.ceil(q * self.count), 1, self.count)
        return self.middles[np.searchsorted(cumulated, rank)]

    @property
    def middles(self) -> Floats:
        """The middle of each bucket, kept inside [minimum, maximum]."""
        low = bucket_low(self.indices, self.precision_bits)
        high = bucket_high(self.indices, self.precision_bits)
        middle = low + (high - low) // 2
        return np.clip(middle, self.minimum, self.maximum).astype(np.float64)

    def share_above(self) -> tuple[Floats, Floats]:
        """The CCDF: values (bucket middles) and the share of samples that are larger."""
        if self.count == 0:
            return np.empty(0), np.empty(0)
        above = 1.0 - np.cumsum(self.counts) / self.count
        return self.middles, np.maximum(above, 0.0)


def empty(precision_bits: int) -> Histogram:
    none = np.empty(0, dtype=np.int64)
    return Histogram(precision_bits, none, none, 0, 0, 0)


def from_values(values: Integers, precision_bits: int = 7) -> Histogram:
    """The histogram of given values (all >= 0)."""
    if len(values) == 0:
        return empty(precision_bits)
    indices, counts = np.unique(bucket_index(values, precision_bits), return_counts=True)
    return Histogram(
        precision_bits,
        indices.astype(np.int64),
        counts.astype(np.int64),
        int(values.min()),
        int(values.max()),
        int(values.sum()),
    )


def merge(histograms: Sequence[Histogram]) -> Histogram:
    """All samples together. Raises ValueError when there are none or precisions differ."""
    precisions = {one.precision_bits for one in histograms}
    if len(precisions) != 1:
        raise ValueError(f"histograms of precision {sorted(precisions)} cannot be merged")
    filled = [one for one in histograms if one.count]
    if not filled:
        return empty(precisions.pop())
    indices, inverse = np.unique(
        np.concatenate([one.indices for one in filled]), return_inverse=True
    )
    counts = np.zeros(len(indices), dtype=np.int64)
    np.add.at(counts, inverse, np.concatenate([one.counts for one in filled]))
    return Histogram(
        precisions.pop(),
        indices,
        counts,
        min(one.minimum for one in filled),
        max(one.maximum for one in filled),
        sum(one.total for one in filled),
    )
