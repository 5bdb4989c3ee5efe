# SPDX-License-Identifier: Apache-2.0
"""The metrics that ringbed measures: name, unit and which way is better, written once.

Whoever writes result rows takes unit and direction from here, so that a table, a claim and an
experiment file cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

type Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    scope: "trial" metrics have a row for every trial, "accounting" metrics only for the extra
    trial with tracing on, "variant" metrics are derived from all trials of a variant.
    """

    name: str
    unit: str
    direction: Direction
    text: str
    scope: Literal["trial", "accounting", "variant"] = "trial"


def _latency(name: str, text: str) -> Metric:
    return Metric(name=f"latency_{name}", unit="ns", direction="lower", text=text)


_ALL = (
    Metric(
        name="throughput",
        unit="requests/s",
        direction="higher",
        text="replies per second of the measured phase",
    ),
    _latency("mean", "mean latency, from the intended send time"),
    _latency("p50", "median latency"),
    _latency("p90", "90th percentile of latency"),
    _latency("p99", "99th percentile of latency"),
    _latency("p999", "99.9th percentile of latency"),
    _latency("p9999", "99.99th percentile of latency"),
    _latency("max", "longest latency"),
    Metric(
        name="schedule_adherence",
        unit="fraction",
        direction="higher",
        text="share of requests that the client sent when it intended to",
    ),
    Metric(
        name="errors",
        unit="requests",
        direction="lower",
        text="requests that failed, all kinds together",
    ),
    Metric(
        name="accept_balance",
        unit="fraction",
        direction="higher",
        text="Jain's fairness index of connections accepted per server thread (1 = even)",
    ),
    Metric(
        name="serve_balance",
        unit="fraction",
        direction="higher",
        text="Jain's fairness index of requests served per server thread (1 = even)",
    ),
    Metric(
        name="server_cpu_per_request",
        unit="ns",
        direction="lower",
        text="CPU time of the server's threads per request",
    ),
    Metric(
        name="syscalls_per_request",
        unit="calls",
        direction="lower",
        text="system calls of the server per request",
        scope="accounting",
    ),
    Metric(
        name="packets_per_batch",
        unit="packets",
        direction="none",
        text="packets per NAPI poll that found any, on the server",
        scope="accounting",
    ),
    Metric(
        name="max_load_under_slo",
        unit="requests/s",
        direction="higher",
        text="highest offered load whose trials are valid and within the slo",
        scope="variant",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
LATENCY_METRICS: tuple[str, ...] = tuple(name for name in METRICS if name.startswith("latency_"))
