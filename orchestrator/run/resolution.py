# SPDX-License-Identifier: Apache-2.0
"""Percentiles that a plan asks for, but whose trials are too short for them."""

import re
from collections.abc import Iterable, Iterator
from typing import Protocol


class Timed(Protocol):
    """What of a trial counts here."""

    @property
    def kind(self) -> str: ...
    @property
    def offered_rps(self) -> float | None: ...
    @property
    def duration_ns(self) -> int: ...


def unresolved(metrics: Iterable[str], trials: Iterable[Timed]) -> Iterator[str]:
    """A warning for each metric, with the loads at which fewer requests are expected than it
    takes for one of them to lie beyond the percentile. Of GET or SET alone there are fewer."""
    expected = {
        trial.offered_rps: trial.offered_rps * trial.duration_ns / 1e9
        for trial in trials
        if trial.kind == "measure" and trial.offered_rps is not None
    }
    for metric in dict.fromkeys(metrics):
        needed = requests_needed(metric)
        short = sorted(load for load, count in expected.items() if count < needed)
        if short:
            loads = ", ".join(f"{load:g}" for load in short)
            yield (
                f"{metric} needs {needed} requests: too few are expected at {loads} requests/s "
                "(raise duration or load)"
            )


def requests_needed(metric: str) -> int:
    """How many requests resolve a percentile of latency: p99 takes 100; 0 for other metrics."""
    found = re.search(r"latency_p(\d+)$", metric)
    return round(1 / (1 - float(f"0.{found[1]}"))) if found else 0
