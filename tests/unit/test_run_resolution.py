# SPDX-License-Identifier: Apache-2.0
"""A plan says which percentiles its trials are too short for."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.run.resolution import requests_needed, unresolved


def trial(load: float | None, seconds: float = 1.0, kind: str = "measure") -> Any:
    return SimpleNamespace(kind=kind, offered_rps=load, duration_ns=round(seconds * 1e9))


@pytest.mark.parametrize(
    ("metric", "needed"),
    [("latency_p50", 2), ("latency_p99", 100), ("set_latency_p999", 1000), ("achieved_rps", 0)],
)
def test_requests_needed(metric: str, needed: int) -> None:
    assert requests_needed(metric) == needed


def test_one_line_per_metric_with_its_loads() -> None:
    trials = [trial(50.0), trial(50.0), trial(400.0), trial(None), trial(9.0, kind="accounting")]
    found = list(unresolved(["latency_p99", "latency_p999", "latency_p99", "achieved_rps"], trials))
    assert [line.partition(" (")[0] for line in found] == [
        "latency_p99 needs 100 requests: too few are expected at 50 requests/s",
        "latency_p999 needs 1000 requests: too few are expected at 50, 400 requests/s",
    ]
    assert not list(unresolved(["latency_p99"], [trial(50.0, seconds=2.0)]))
