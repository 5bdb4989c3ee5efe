# SPDX-License-Identifier: Apache-2.0
"""The workload of a trial as analysis sees it, and the short text that tells it from others.

Trials are averaged, joined by lines and compared when their labels agree, so that everything that
changes the load has to be in the label. Parts at their default are left out of the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.analysis.fields import Fields

SECOND_NS = 1_000_000_000

# A part of the label, and the keys of the matrix that it shows.
type Part = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    distribution: str
    mean_ns: float
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memcached:
    """Without sizes unless the profile is `fixed`; get_share is None for the profile's own."""

    profile: str
    keys: int
    popularity: str
    zipf_exponent: float
    key_bytes: int
    value_bytes: int
    get_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    file: str
    period_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the generator was asked to do, apart from the offered load.

    None: does not concern the protocol or mode, or was not recorded.
    """

    protocol: str
    mode: str
    arrival: str
    connections: int
    threads: int
    message_bytes: int
    depth: int
    rpcs_per_connection: int
    addresses: int | None = None
    stack: str | None = None
    poll: bool | None = None
    think_time_ns: int | None = None
    users: int | None = None
    reply_timeout_ns: int | None = None
    trace: Trace | None = None
    service_time: ServiceTime | None = None
    memcached: Memcached | None = None

    @property
    def label(self) -> str:
        """Everything that makes curves comparable, in one short line."""
        return ", ".join(text for text, _ in self._parts() if text)

    @property
    def in_label(self) -> frozenset[str]:
        """The keys of the matrix whose values the label shows."""
        return frozenset(f"workload.{key}" for _, keys in self._parts() for key in keys)

    def _parts(self) -> Iterator[Part]:
        how = self.mode
        shown: tuple[str, ...] = ("mode",)
        if self.mode != "closed":
            how, shown = f"{self.mode} {self.arrival}", ("mode", "arrival")
        protocol = ("memcached.protocol",) if self.protocol.startswith("memcached-") else ()
        yield f"{self.protocol} {how}", (*protocol, *shown)
        yield _count(self.connections, "connection"), ("connections",)
        yield _count(self.threads, "thread"), ("threads",)
        if self.addresses is not None:
            yield _unless(1, self.addresses, f"{self.addresses} addresses"), ("addresses",)
        if self.message_bytes:
            yield f"{self.message_bytes} B", ("message",)
        yield _unless(1, self.depth, f"depth {self.depth}"), ("depth",)
        rpcs = self.rpcs_per_connection
        yield _unless(0, rpcs, f"{rpcs} per connection"), ("rpcs_per_connection",)
        if self.stack is not None:
            yield ("" if self.stack == "linux" else f"client on {self.stack}"), ("stack",)
        if self.poll is not None:
            yield ("polling" if self.poll else ""), ("poll",)
        if self.think_time_ns is not None:
            think = self.think_time_ns
            yield _unless(0, think, f"think {_time(think)}"), ("think_time",)
        if self.users is not None:
            yield _unless(0, self.users, _count(self.users, "user")), ("users",)
        if self.reply_timeout_ns is not None:
            wait = self.reply_timeout_ns
            yield _unless(SECOND_NS, wait, f"timeout {_time(wait)}"), ("reply_timeout",)
        if self.trace is not None:
            yield from _trace_parts(self.trace)
        if self.service_time is not None:
            yield from _service_parts(self.service_time)
        if self.memcached is not None:
            yield from _memcached_parts(self.memcached)


def _trace_parts(trace: Trace) -> Iterator[Part]:
    yield f"trace {trace.file}", ("trace.file",)
    yield _unless(0, trace.period_ns, f"every {_time(trace.period_ns)}"), ("trace.period",)


def _service_parts(service: ServiceTime) -> Iterator[Part]:
    shown = ("service_time.distribution", "service_time.mean")
    yield f"{service.distribution} {_time(service.mean_ns)}", shown
    if service.distribution == "lognormal":
        yield f"sigma {service.sigma:.10g}", ("service_time.sigma",)


def _memcached_parts(asked: Memcached) -> Iterator[Part]:
    yield f"{asked.profile} {_count(asked.keys, 'key')}", ("memcached.profile", "memcached.keys")
    if asked.popularity == "zipf":
        text = f"zipf {asked.zipf_exponent:.10g}"
        yield text, ("memcached.popularity", "memcached.zipf_exponent")
    else:
        yield "", ("memcached.popularity",)
    if asked.profile == "fixed":
        yield f"{asked.key_bytes} B keys", ("memcached.key",)
        yield f"{asked.value_bytes} B values", ("memcached.value",)
    share = "" if asked.get_share is None else f"{asked.get_share * 100:.10g} % GET"
    yield share, ("memcached.get_share",)


def _unless(default: float, value: float, text: str) -> str:
    return "" if value == default else text


def _time(ns: float) -> str:
    return f"{ns / 1000:.10g} us"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def read_workload(data: Fields) -> Workload:
    """The object `workload` of trial.json. Raises RawError."""
    return Workload(
        protocol=data.text("protocol"),
        mode=data.text("mode"),
        arrival=data.text("arrival", ""),
        connections=data.integer("connections"),
        threads=data.integer("threads"),
        message_bytes=data.integer("message_bytes", 0),
        depth=data.integer("depth", 1),
        rpcs_per_connection=data.integer("rpcs_per_connection", 0),
        addresses=data.integer("addresses") if data.has("addresses") else None,
        stack=data.text("stack") if data.has("stack") else None,
        poll=data.boolean("poll") if data.has("poll") else None,
        think_time_ns=data.integer("think_time_ns") if data.has("think_time_ns") else None,
        users=data.integer("users") if data.has("users") else None,
        reply_timeout_ns=data.integer("reply_timeout_ns") if data.has("reply_timeout_ns") else None,
        trace=_read_trace(data.child("trace")) if data.has("trace") else None,
        service_time=_read_service(data.child("service_time"))
        if data.has("service_time")
        else None,
        memcached=_read_memcached(data.child("memcached")) if data.has("memcached") else None,
    )


def _read_trace(data: Fields) -> Trace:
    return Trace(file=data.text("file"), period_ns=data.integer("period_ns"))


def _read_service(data: Fields) -> ServiceTime:
    return ServiceTime(
        distribution=data.text("distribution"),
        mean_ns=data.number("mean_ns"),
        sigma=data.number("sigma", 1.0),
    )


def _read_memcached(data: Fields) -> Memcached:
    return Memcached(
        profile=data.text("profile"),
        keys=data.integer("keys"),
        popularity=data.text("popularity"),
        zipf_exponent=data.number("zipf_exponent"),
        key_bytes=data.integer("key_bytes"),
        value_bytes=data.integer("value_bytes"),
        get_share=data.number("get_share") if data.has("get_share") else None,
    )
