# SPDX-License-Identifier: Apache-2.0
"""What the load generator does: the `workload` section, and what of it concerns which protocol."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from orchestrator.spec.fields import Count, Duration, Flag, Fraction, Size, SpecModel, Text
from orchestrator.spec.registry import AppProtocol, Mode

MESSAGE_MAX_BYTES = 65536
SPIN_HEADER_BYTES = 16
SERVICE_TIME_MAX_NS = 10**9
MEMCACHED_KEY_MAX_BYTES = 250
MEMCACHED_VALUE_MAX_BYTES = 1_000_000

HOUR_NS = 3600 * 10**9

Exponent = Annotated[float, Field(ge=0.01, le=10, allow_inf_nan=False)]
Sigma = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]


class Adherence(SpecModel):
    """When a trial is void because the client could not keep its own schedule."""

    late_after_ns: Duration = Field(
        1_000_000,
        alias="late_after",
        ge=0,
        description="A request sent later than this after its intended time counts as late.",
        examples=["1ms"],
    )
    min_on_time: Fraction = Field(
        0.99,
        description="The trial is void when a smaller share of requests was on time.",
        examples=["99%"],
    )


def _beside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} leads out of the experiment's folder")
    return name


class Trace(SpecModel):
    """Arrivals read from a file instead of drawn from a distribution."""

    file: Annotated[Text, AfterValidator(_beside)] = Field(
        description="Path beside the experiment file. A line is `TIME` or `TIME COUNT`: "
        "nanoseconds after the start of the schedule, and how many requests are due then. "
        "The schedule starts with the warm-up.",
        examples=["bursts.trace"],
    )
    period_ns: Duration = Field(
        0,
        alias="period",
        ge=0,
        description="Start the trace anew every so often; 0 plays it once.",
        examples=["100ms"],
    )


class ServiceTime(SpecModel):
    """How long a spin server works for one request."""

    distribution: Literal[
        "fixed", "exponential", "bimodal-1", "bimodal-2", "bimodal-2z", "lognormal"
    ] = Field(
        "fixed",
        description="`bimodal-1`: 90 % at half the mean, 10 % at 5.5 times it. `bimodal-2`: 99.5 % "
        "at 1/5.995 of the mean, 0.5 % at 1000/5.995 times it. `bimodal-2z`: 99.9 % at half the "
        "mean, 0.1 % at 500.5 times it.",
    )
    mean_ns: Duration = Field(
        10_000,
        alias="mean",
        ge=0,
        le=SERVICE_TIME_MAX_NS,
        description="Mean service time.",
        examples=["10us"],
    )
    sigma: Sigma = Field(
        1.0,
        description="Only lognormal: standard deviation of the logarithm of the service time.",
    )


class Memcached(SpecModel):
    """Keys, values and operations of a memcached workload."""

    protocol: Literal["text", "binary"] = Field("text", description="Wire protocol.")
    profile: Literal["etc", "usr", "fixed"] = Field(
        "etc",
        description="`etc`, `usr`: the published key and value sizes and GET share of Facebook's "
        "pools of these names (SIGMETRICS 2012). `fixed`: the sizes below.",
    )
    keys: Count = Field(10_000, description="Number of different keys, stored before the warm-up.")
    popularity: Literal["uniform", "zipf"] = Field(
        "uniform", description="How requests choose among the keys."
    )
    zipf_exponent: Exponent = Field(0.99, description="Only with popularity zipf.")
    key_bytes: Size = Field(
        30,
        alias="key",
        ge=1,
        le=MEMCACHED_KEY_MAX_BYTES,
        description="Only with profile fixed: length of a key.",
        examples=["30B"],
    )
    value_bytes: Size = Field(
        200,
        alias="value",
        ge=0,
        le=MEMCACHED_VALUE_MAX_BYTES,
        description="Only with profile fixed: length of a value.",
        examples=["200B"],
    )
    get_share: Fraction | None = Field(
        None,
        description="Share of GET among the operations; the profile's own when left out.",
        examples=["90%"],
    )


class Workload(SpecModel):
    """What drives load, and how. Keys of one protocol are ignored by applications of another."""

    mode: Mode = Field(
        "open",
        description="`open`: requests are sent on a schedule, whatever the replies do. `closed`: "
        "each connection keeps `depth` requests under way, or all together `users`.",
    )
    arrival: Literal["poisson", "fixed", "trace"] = Field(
        "poisson", description="Only with mode open: gaps between requests."
    )
    think_time_ns: Duration = Field(
        0,
        alias="think_time",
        ge=0,
        le=HOUR_NS,
        description="Only with mode closed: mean of the exponentially distributed time between a "
        "reply and the next request.",
        examples=["1ms"],
    )
    trace: Trace | None = Field(None, description="Only with arrival trace.")
    threads: Count = Field(1, le=64, description="Threads of the generator.")
    connections: Count = Field(
        16, le=1_000_000, description="TCP connections, or UDP sockets, spread over the threads."
    )
    addresses: Count = Field(
        1,
        le=120,
        description="Client addresses to connect from, for more connections than one has ports.",
    )
    depth: Count = Field(
        1, le=4096, description="Requests that may be under way on one connection at once."
    )
    users: int = Field(
        0,
        strict=True,
        ge=0,
        le=1_000_000,
        description="Only with mode closed: requests that are under way on all connections "
        "together, which take turns; 0: `depth` on each.",
    )
    rpcs_per_connection: int = Field(
        0,
        strict=True,
        ge=0,
        description="Close a connection in order after this many requests and open another; "
        "0 keeps it.",
    )
    message_bytes: Size = Field(
        64,
        alias="message",
        ge=1,
        le=MESSAGE_MAX_BYTES,
        description="Echo, spin, UDP echo: length of a request and of its reply.",
        examples=["64B"],
    )
    service_time: ServiceTime = Field(
        ServiceTime(), description="Spin: work asked of the server for each request."
    )
    memcached: Memcached = Field(Memcached(), description="Memcached: keys, values and operations.")
    rundown_ns: Duration = Field(
        1_000_000_000,
        alias="rundown",
        ge=0,
        le=HOUR_NS,
        description="How long replies may still come after the measured phase; a request without "
        "one by then counts as a timeout.",
        examples=["1s"],
    )
    reply_timeout_ns: Duration = Field(
        1_000_000_000,
        alias="reply_timeout",
        ge=100_000,
        le=HOUR_NS,
        description="UDP: a request without a reply after this time is lost, and counts as a "
        "timeout.",
        examples=["10ms"],
    )
    stack: Literal["linux", "ix", "l2"] = Field(
        "linux",
        description="What the generator itself runs on: Linux sockets; `ix`, ringbed's dataplane, "
        "which needs a twelfth of the instructions for a request; or `l2`, bare frames on it, in a "
        "closed loop and to a server that returns them: as many datagrams under way as there are "
        "connections, each sent again as soon as it has come.",
    )
    poll: Flag = Field(
        False,
        description="The generator never sleeps: it keeps its schedule best, and takes a whole "
        "CPU per thread.",
    )
    adherence: Adherence = Field(
        Adherence(), description="Open loop: when the client's own lateness voids a trial."
    )

    @model_validator(mode="after")
    def _arrival_and_trace_agree(self) -> Self:
        if self.arrival == "trace" and self.trace is None:
            raise ValueError("arrival is trace, but no trace is given; add trace: {file: …}")
        if self.trace is not None and self.arrival != "trace":
            raise ValueError("a trace is given, but arrival is not trace; set arrival: trace")
        if self.mode == "closed" and self.trace is not None:
            raise ValueError("a trace needs mode: open")
        return self

    @model_validator(mode="after")
    def _threads_have_connections(self) -> Self:
        if self.connections < self.threads:
            raise ValueError(
                f"{self.connections} connections cannot be spread over {self.threads} threads"
            )
        return self

    @property
    def paced(self) -> bool:
        """True when an offered load must be given: an open loop that no trace paces."""
        return self.mode == "open" and self.arrival != "trace"


PROTOCOL_FIELDS: Mapping[AppProtocol, frozenset[str]] = {
    "echo": frozenset({"message_bytes"}),
    "spin": frozenset({"message_bytes", "service_time"}),
    "memcached": frozenset({"memcached"}),
    "udp-echo": frozenset({"message_bytes", "reply_timeout_ns"}),
}
_OPEN_FIELDS = frozenset({"arrival", "trace", "adherence"})
_CLOSED_FIELDS = frozenset({"think_time_ns", "users"})


def wire_protocol(workload: Workload, protocol: AppProtocol) -> str:
    """The protocol as the load generator names it, such as "memcached-text"."""
    return f"memcached-{workload.memcached.protocol}" if protocol == "memcached" else protocol


def concerns(field: str, protocol: AppProtocol) -> bool:
    """Whether a field of Workload can change what an application of `protocol` sees."""
    owners = [name for name, fields in PROTOCOL_FIELDS.items() if field in fields]
    return not owners or protocol in owners


def effective(workload: Workload, protocol: AppProtocol) -> dict[str, Any]:
    """The workload as plain values in base units, without what does not concern the protocol."""
    values = workload.model_dump(mode="python")
    unused = _OPEN_FIELDS if workload.mode == "closed" else _CLOSED_FIELDS
    return {
        "protocol": wire_protocol(workload, protocol),
        **{
            name: value
            for name, value in values.items()
            if concerns(name, protocol) and name not in unused
        },
    }
