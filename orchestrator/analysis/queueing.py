# SPDX-License-Identifier: Apache-2.0
"""Reference lines: the ideal server of n cores with one queue (M/G/n, first come first served).

A sweep over service times is read against it: Poisson arrivals, one central queue, no overhead at
all. No stack can be better; how far it stays away is what the stack costs.

Exact results are used where they exist: Pollaczek–Khinchine for the mean of M/G/1, Erlang C for
M/M/n (L. Kleinrock, Queueing Systems, vol. 1, 1975). No exact closed form is known for the tail
of M/G/n, and two-moment approximations (Lee and Longton 1959; Kimura 1994) give means, not a
99.9th percentile of a bimodal service time. The tail therefore comes from an exact event
simulation: Kiefer and Wolfowitz's recursion of the workload vector (Trans. AMS 78, 1955), stepped
for many independent replications and all loads at once in numpy. All loads see the same random
numbers, so the line is smooth; the seed is fixed, so it is the same in every report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

SEED = 20260101
REPLICATIONS = 64
WARM_UP = 2_000
STEPS = 6_000
LOADS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96)

DISTRIBUTIONS = ("fixed", "exponential", "bimodal-1", "bimodal-2", "bimodal-2z", "lognormal")

# share of long requests, short and long service as multiples of the mean
_BIMODAL = {
    "bimodal-1": (0.1, 0.5, 5.5),
    "bimodal-2": (0.005, 1 / 5.995, 1000 / 5.995),
    "bimodal-2z": (0.001, 0.5, 500.5),
}


def second_moment(distribution: str, sigma: float = 1.0) -> float:
    """E[S²] / E[S]² of a service-time distribution."""
    if distribution == "fixed":
        return 1.0
    if distribution == "exponential":
        return 2.0
    if distribution == "lognormal":
        return math.exp(sigma * sigma)
    share, short, long = _BIMODAL[distribution]
    return (1.0 - share) * short * short + share * long * long


def draw(
    distribution: str, shape: tuple[int, ...], random: np.random.Generator, sigma: float = 1.0
) -> Floats:
    """Service times with mean 1."""
    if distribution == "fixed":
        return np.ones(shape)
    if distribution == "exponential":
        return random.standard_exponential(shape)
    if distribution == "lognormal":
        return random.lognormal(-sigma * sigma / 2.0, sigma, shape)
    share, short, long = _BIMODAL[distribution]
    return np.where(random.random(shape) < share, long, short)


def mean_sojourn_mg1(load: float, distribution: str, sigma: float = 1.0) -> float:
    """Mean time in an M/G/1 system in units of the mean service time (Pollaczek–Khinchine)."""
    return 1.0 + load * second_moment(distribution, sigma) / (2.0 * (1.0 - load))


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request of M/M/n waits; load is per server, 0 < load < 1."""
    offered = servers * load
    # Erlang B by its recursion: the sum of powers and factorials would overflow.
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = offered * blocking / (n + offered * blocking)
    return blocking / (1.0 - load * (1.0 - blocking))


def mean_sojourn_mmn(servers: int, load: float) -> float:
    """Mean time in an M/M/n system in units of the mean service time."""
    return 1.0 + erlang_c(servers, load) / (servers * (1.0 - load))


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Sojourn times of the ideal server. loads are per server (utilisation), rps and the
    times absolute; quantiles[q] belongs to rps."""

    loads: Floats
    rps: Floats
    mean_ns: Floats
    quantiles: dict[float, Floats]


@lru_cache(maxsize=32)
def reference(
    distribution: str,
    mean_ns: float,
    servers: int,
    quantiles: tuple[float, ...] = (0.5, 0.99, 0.999),
    loads: tuple[float, ...] = LOADS,
    sigma: float = 1.0,
) -> Line:
    """The reference line of a service time (mean in ns) on `servers` cores."""
    sojourn = simulate(distribution, servers, loads, sigma=sigma)
    exact = [
        mean_sojourn_mg1(load, distribution, sigma)
        if servers == 1
        else mean_sojourn_mmn(servers, load)
        if distribution == "exponential"
        else float(sojourn[row].mean())
        for row, load in enumerate(loads)
    ]
    values = np.quantile(sojourn, quantiles, axis=1) * mean_ns
    utilisation = np.array(loads)
    return Line(
        loads=utilisation,
        rps=utilisation * servers * 1e9 / mean_ns,
        mean_ns=np.array(exact) * mean_ns,
        quantiles={q: values[row] for row, q in enumerate(quantiles)},
    )


def simulate(
    distribution: str,
    servers: int,
    loads: Sequence[float],
    *,
    replications: int = REPLICATIONS,
    warm_up: int = WARM_UP,
    steps: int = STEPS,
    sigma: float = 1.0,
    seed: int = SEED,
) -> Floats:
    """Sojourn times in units of the mean service time: one row per load.

    Each step is one arrival in each of loads × replications systems. `left` holds, in ascending
    order, how long each server is still busy: the new request starts on the first one.
    """
    random = np.random.default_rng(seed)
    rate = np.array(loads)[:, None] * servers
    left = np.zeros((len(loads), replications, servers))
    kept = np.empty((steps, len(loads), replications))
    for step in range(-warm_up, steps):
        gap = random.standard_exponential(replications) / rate
        service = draw(distribution, (replications,), random, sigma)
        left -= gap[:, :, None]
        np.maximum(left, 0.0, out=left)
        sojourn = left[:, :, 0] + service
        if step >= 0:
            kept[step] = sojourn
        left[:, :, 0] = sojourn
        if servers > 1:
            left.sort(axis=2)
    return np.moveaxis(kept, 0, 2).reshape(len(loads), -1)
