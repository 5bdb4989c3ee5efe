# SPDX-License-Identifier: Apache-2.0
"""The metrics that an experiment may name: unit, and which way is better."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

type Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, or a family of them when `name` holds a part in angle brackets.

    scope: "trial" metrics have a row for every trial, "accounting" metrics only for the extra
    trial with tracing on, "crosscheck" metrics for trials of a second generator, "variant"
    metrics are derived from all trials of a variant.
    """

    name: str
    unit: str
    direction: Direction
    text: str
    scope: Literal["trial", "accounting", "crosscheck", "variant"] = "trial"


def _trial(name: str, unit: str, direction: Direction, text: str) -> Metric:
    return Metric(name=name, unit=unit, direction=direction, text=text)


_ALL = (
    _trial("achieved_rps", "requests/s", "higher", "replies per second of the measured phase"),
    _trial("latency_mean", "us", "lower", "mean latency, from the intended send time"),
    _trial("latency_p50", "us", "lower", "median latency"),
    _trial("latency_p90", "us", "lower", "90th percentile of latency"),
    _trial("latency_p99", "us", "lower", "99th percentile of latency"),
    _trial("latency_p999", "us", "lower", "99.9th percentile of latency"),
    _trial("latency_p9999", "us", "lower", "99.99th percentile of latency"),
    _trial("latency_max", "us", "lower", "longest latency"),
    _trial("get_latency_p50", "us", "lower", "memcached: median latency of GET"),
    _trial("get_latency_p99", "us", "lower", "memcached: 99th percentile of latency of GET"),
    _trial("set_latency_p50", "us", "lower", "memcached: median latency of SET"),
    _trial("set_latency_p99", "us", "lower", "memcached: 99th percentile of latency of SET"),
    _trial("schedule_adherence", "share", "higher", "requests sent when they were intended to be"),
    _trial("max_lateness", "us", "lower", "longest delay of a request by the client itself"),
    _trial("sent", "requests", "none", "requests sent in the measured phase"),
    _trial("completed", "requests", "none", "answered requests of the measured phase"),
    _trial("goodput", "Mbit/s", "higher", "bytes of replies per second"),
    _trial("errors", "requests", "lower", "requests that failed, all kinds together"),
    _trial("errors_<kind>", "requests", "lower", "requests that failed in this way"),
    _trial("accepted_thread<n>", "connections", "none", "connections that server thread accepted"),
    _trial("served_thread<n>", "requests", "none", "requests that server thread served"),
    _trial("accept_max_min_ratio", "ratio", "lower", "most over fewest connections of a thread"),
    _trial("accept_jain_index", "ratio", "higher", "evenness of accepting threads (1 = even)"),
    _trial("served_max_min_ratio", "ratio", "lower", "most over fewest requests of a thread"),
    _trial("served_jain_index", "ratio", "higher", "evenness of serving threads (1 = even)"),
    _trial("server_cpu_per_request", "us", "lower", "CPU time of the server's threads"),
    _trial(
        "server_syscalls_per_request",
        "calls/request",
        "lower",
        "system calls of the server as it counts them itself",
    ),
    _trial(
        "crossings_per_request",
        "crossings/request",
        "lower",
        "dataplane: ways into the application and back, each with all events and commands",
    ),
    _trial("server_events_per_poll", "events/poll", "none", "ready events per wait of the server"),
    _trial(
        "instructions_per_request",
        "instructions/request",
        "lower",
        "virtual clock: instructions of the server's CPUs in the measured phase",
    ),
    _trial(
        "instructions_per_request_<domain>",
        "instructions/request",
        "lower",
        "the same, in one privilege domain: user, kernel or ring0",
    ),
    _trial(
        "locked_per_request",
        "instructions/request",
        "lower",
        "virtual clock: atomic instructions of the server's CPUs: with a LOCK prefix, or XCHG with "
        "memory",
    ),
    _trial(
        "locked_per_request_<domain>",
        "instructions/request",
        "lower",
        "those of locked_per_request in one privilege domain: user, kernel or ring0",
    ),
    _trial(
        "barriers_per_request",
        "barriers/request",
        "lower",
        "virtual clock: full fences of the server's CPUs: those of the locked ones that add 0 to "
        "their own stack, or set no bit of it, and MFENCE",
    ),
    _trial(
        "barriers_per_request_<domain>",
        "barriers/request",
        "lower",
        "those of barriers_per_request in one privilege domain: user, kernel or ring0",
    ),
    _trial(
        "client_instructions_per_request",
        "instructions/request",
        "lower",
        "virtual clock: instructions of the client's CPUs",
    ),
    _trial(
        "house_instructions_per_request",
        "instructions/request",
        "lower",
        "virtual clock: instructions of the CPU that keeps house, which serves no request",
    ),
    _trial(
        "requests_per_turn",
        "requests/turn",
        "none",
        "virtual clock: mean batch of a dataplane in the measured phase, in requests per turn that "
        "found something to do",
    ),
    _trial(
        "busy_instructions_cpu<n>",
        "instructions",
        "none",
        "virtual clock: instructions of that CPU in the measured phase",
    ),
    Metric(
        name="syscalls_per_request",
        unit="calls/request",
        direction="lower",
        text="system calls of the server as the kernel counts them",
        scope="accounting",
    ),
    Metric(
        name="syscalls_per_request_<name>",
        unit="calls/request",
        direction="lower",
        text="the same, of one system call",
        scope="accounting",
    ),
    Metric(
        name="packets_per_poll",
        unit="packets/poll",
        direction="none",
        text="mean batch: packets per NAPI poll of the server's NIC, or per turn of a dataplane's "
        "loop, of those that took any in",
        scope="accounting",
    ),
    Metric(
        name="locality",
        unit="share",
        direction="higher",
        text="requests that were read on the CPU that took their connection's segments in; on a "
        "dataplane, segments that came to the core that has their connection",
        scope="accounting",
    ),
    Metric(
        name="crosscheck_achieved_rps",
        unit="requests/s",
        direction="higher",
        text="replies per second as the second generator saw them",
        scope="crosscheck",
    ),
    Metric(
        name="crosscheck_latency_<name>",
        unit="us",
        direction="lower",
        text="latency as the second generator saw it",
        scope="crosscheck",
    ),
    Metric(
        name="max_load_under_slo",
        unit="requests/s",
        direction="higher",
        text="highest offered load that keeps the slo",
        scope="variant",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL if "<" not in metric.name}
FAMILIES: Mapping[str, Metric] = {metric.name: metric for metric in _ALL if "<" in metric.name}
SYNONYMS: Mapping[str, str] = {"throughput": "achieved_rps", "rps": "achieved_rps"}
# What a summary shows of an experiment that does not say.
SUMMARY_METRICS = ("achieved_rps", "latency_p50", "latency_p99", "latency_p999")
LATENCY_METRICS: tuple[str, ...] = tuple(name for name in METRICS if name.startswith("latency_"))


def find_metric(name: str) -> Metric | None:
    """The definition of a metric by its name in the results; None when it is unknown."""
    if name in METRICS:
        return METRICS[name]
    for pattern, metric in FAMILIES.items():
        prefix, _, rest = pattern.partition("<")
        part = r"\d+" if rest == "n>" else r"[a-z0-9_]+"
        if re.fullmatch(re.escape(prefix) + part, name):
            return Metric(
                name=name,
                unit=metric.unit,
                direction=metric.direction,
                text=metric.text,
                scope=metric.scope,
            )
    return None
