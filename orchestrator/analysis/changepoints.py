# SPDX-License-Identifier: Apache-2.0
"""Where in a history of values the level changed.

Wall clock: E-divisive (Matteson and James, 2014). The place that separates a stretch best is the
one with the largest energy statistic, which compares whole distributions and assumes none; a
permutation test with a fixed seed says whether shuffled values would separate as well; then both
sides are searched in turn. Halves are searched too, after the whole. What is significant but
smaller than the threshold is no change.

Virtual clock: values carry no noise, so there is nothing to test, and a change must show the
night it happens, where no permutation test of so few values could call it. Every value that leaves
the level so far, the median since the last change, by more than the threshold starts a new level.
"""

import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.statistics import SEED

SIGNIFICANCE = 0.01
PERMUTATIONS = 299
FEWEST_A_SIDE = 3
# Older nights are still drawn; what changed then was found then.
WINDOW = 250

type Floats = NDArray[np.float64]


def steps(values: Sequence[float], threshold: float) -> list[int]:
    """The places (of the first value of each new level) in values without noise."""
    found: list[int] = []
    start = 0
    for place, value in enumerate(values[1:], 1):
        if differs(statistics.median(values[start:place]), value, threshold):
            found.append(place)
            start = place
    return found


def divisive(values: Sequence[float], threshold: float, *, seed: int = SEED) -> list[int]:
    """The places of significant changes in values with noise, ascending."""
    offset = max(len(values) - WINDOW, 0)
    recent = np.asarray(values[offset:], dtype=np.float64)
    places = sorted(_search(recent, 0, len(recent), seed))
    kept: list[int] = []
    # What separates two neighbouring levels by less than the threshold is removed, smallest first.
    while places:
        levels = _levels(recent, places)
        small = [
            (abs(after - before), place)
            for place, before, after in zip(places, levels, levels[1:], strict=False)
            if not differs(before, after, threshold)
        ]
        if not small:
            kept = places
            break
        places.remove(min(small)[1])
    return [place + offset for place in kept]


def differs(before: float, after: float, threshold: float) -> bool:
    if before == after:
        return False
    if before <= 0.0 or after <= 0.0:
        return True
    return not 1.0 / (1.0 + threshold) <= after / before <= 1.0 + threshold


def _levels(values: Floats, places: Sequence[int]) -> list[float]:
    bounds = [0, *places, len(values)]
    return [float(np.median(values[a:b])) for a, b in zip(bounds, bounds[1:], strict=False)]


def _search(values: Floats, start: int, end: int, seed: int) -> list[int]:
    for (first, last), significance in _windows(start, end):
        place = _split(values, first, last, seed, significance)
        if place is not None:
            left, right = _search(values, start, place, seed), _search(values, place, end, seed)
            return [*left, place, *right]
    return []


def _windows(start: int, end: int) -> list[tuple[tuple[int, int], float]]:
    """The whole stretch, then overlapping halves of it, which share the significance of one test:
    two opposite changes, a regression and its mending, hide each other in the whole."""
    half, quarter = (end - start) // 2, (end - start) // 4
    halves = [(at, at + half) for at in (start, start + quarter, end - half)]
    return [((start, end), SIGNIFICANCE), *((one, SIGNIFICANCE / len(halves)) for one in halves)]


def _split(values: Floats, start: int, end: int, seed: int, significance: float) -> int | None:
    """The place that separates a stretch best, if shuffled values hardly ever separate as well."""
    part = values[start:end]
    if len(part) < 2 * FEWEST_A_SIDE or float(np.ptp(part)) == 0.0:
        return None
    distances = np.abs(part[:, None] - part[None, :])
    best, place = _best(distances)
    random = np.random.default_rng([seed, start, end])
    as_good = 1
    for _ in range(PERMUTATIONS):
        order = random.permutation(len(part))
        as_good += _best(distances[np.ix_(order, order)])[0] >= best * (1.0 - 1e-12)
        if as_good > significance * (PERMUTATIONS + 1):
            return None
    return start + place


def _best(distances: Floats) -> tuple[float, int]:
    """The largest energy statistic over all places to split, and the place."""
    n = len(distances)
    sums = distances.cumsum(axis=0).cumsum(axis=1)
    sizes = np.arange(FEWEST_A_SIDE, n - FEWEST_A_SIDE + 1)
    rest = n - sizes
    corner = sums[sizes - 1, sizes - 1]
    edge = sums[sizes - 1, -1]
    between = edge - corner
    after = sums[-1, -1] - 2.0 * edge + corner
    energy = (
        2.0 * between / (sizes * rest)
        - corner / (sizes * (sizes - 1))
        - after / (rest * (rest - 1))
    )
    weighted = energy * sizes * rest / n
    place = int(np.argmax(weighted))
    return float(weighted[place]), int(sizes[place])
