# SPDX-License-Identifier: Apache-2.0
"""What a running dpos tells of its cores (dataplane/dpos/stats.c), and what two such tellings say
of the time between them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.fields import Fields, RawError

SECOND_NS = 1_000_000_000
STAGES = ("poll", "timers", "network", "events", "application", "commands", "transmit")

DROPPED = ("tx_full", "rx_too_long", "inbox_full", "inbox_lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Counters of one core since dpos has begun.

    batches: turns that had packets. packets: that it has taken through its loop. packets_in: that
    the device has given it, of which it has handed some over to other cores. crossings: into the
    application and back. strays: TCP segments of connections that are not this core's.
    timed_cycles: by stage, of a sample of the busy turns.
    """

    number: int
    cpu: int
    turns: int
    idle_turns: int
    batches: int
    packets: int
    packets_in: int
    crossings: int
    packets_out: int
    handed_over: int
    dropped: int
    segments_in: int
    strays: int
    retransmitted: int
    connections: int
    busy_cycles: int
    idle_cycles: int
    timed_cycles: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    stack: str
    time_ns: int
    link: bool
    missed: int
    cores: tuple[Core, ...]

    @property
    def batch(self) -> float:
        """Packets of a turn that had any; NaN when no turn had."""
        batches = sum(core.batches for core in self.cores)
        return sum(core.packets for core in self.cores) / batches if batches else math.nan

    @property
    def crossings(self) -> int:
        return sum(core.crossings for core in self.cores)

    @property
    def locality(self) -> float:
        """The share of TCP segments that came to the core that has their connection; NaN without
        any. What has no connection at all, such as a late answer to a reset, counts against it."""
        segments = sum(core.segments_in for core in self.cores)
        strays = sum(core.strays for core in self.cores)
        return 1 - strays / segments if segments else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of one core over an interval: per second, but for those that say otherwise.

    busy: the share of its cycles in turns that found something to do. batch: packets of a turn that
    had any. cycles_per_packet: by stage; empty without packets.
    """

    number: int
    cpu: int
    packets_in: float
    packets_out: float
    handed_over: float
    dropped: float
    retransmitted: float
    connections: int
    busy: float
    batch: float
    cycles_per_packet: Mapping[str, float]


def read_counters(text: str, source: str) -> Counters:
    """What dpos has written. Raises RawError, which names the source."""
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise RawError(f"{source}: is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise RawError(f"{source}: is no JSON object")
    fields = Fields(source, data)
    fields.schema(1)
    return Counters(
        stack=fields.text("stack"),
        time_ns=fields.integer("time_ns"),
        link=fields.boolean("link"),
        missed=fields.integer("rx_missed") + fields.integer("rx_no_buffers"),
        cores=tuple(_core(core) for core in fields.children("cores")),
    )


def read_file(path: Path) -> Counters:
    """dpos.json. Raises RawError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RawError(f"{path.name}: cannot be read: {error}") from error
    return read_counters(text, path.name)


def _core(fields: Fields) -> Core:
    loop, queue = fields.child("loop"), fields.child("queue")
    timed = loop.child("timed_cycles")
    # The stack l2 has neither protocols nor connections.
    net = fields.child("net") if fields.has("net") else None
    used = fields.child("used") if fields.has("used") else None
    return Core(
        number=fields.integer("core"),
        cpu=fields.integer("cpu"),
        turns=loop.integer("turns"),
        idle_turns=loop.integer("idle_turns"),
        batches=loop.integer("batches"),
        packets=loop.integer("packets"),
        crossings=loop.integer("crossings"),
        packets_in=queue.integer("rx_packets"),
        packets_out=queue.integer("tx_packets"),
        handed_over=queue.integer("handed_over"),
        dropped=sum(queue.integer(name) for name in DROPPED),
        segments_in=net.integer("tcp_in") if net else 0,
        strays=net.integer("tcp_no_connection") if net else 0,
        retransmitted=net.integer("tcp_retransmitted") if net else 0,
        connections=used.integer("connections") if used else 0,
        busy_cycles=loop.integer("busy_cycles"),
        idle_cycles=loop.integer("idle_cycles"),
        timed_cycles={stage: timed.integer(stage) for stage in STAGES},
    )


def rates(before: Counters, after: Counters) -> tuple[Rates, ...]:
    """What each core did between two tellings of one dpos."""
    seconds = max(after.time_ns - before.time_ns, 1) / SECOND_NS
    return tuple(
        _rates(first, second, seconds)
        for first, second in zip(before.cores, after.cores, strict=True)
    )


def _rates(before: Core, after: Core, seconds: float) -> Rates:
    packets = after.packets - before.packets
    batches = after.batches - before.batches
    timed = {stage: after.timed_cycles[stage] - before.timed_cycles[stage] for stage in STAGES}
    all_timed = sum(timed.values())
    busy = after.busy_cycles - before.busy_cycles
    all_cycles = busy + after.idle_cycles - before.idle_cycles
    return Rates(
        number=after.number,
        cpu=after.cpu,
        packets_in=(after.packets_in - before.packets_in) / seconds,
        packets_out=(after.packets_out - before.packets_out) / seconds,
        handed_over=(after.handed_over - before.handed_over) / seconds,
        dropped=(after.dropped - before.dropped) / seconds,
        retransmitted=(after.retransmitted - before.retransmitted) / seconds,
        connections=after.connections,
        busy=busy / all_cycles if all_cycles else 0.0,
        batch=packets / batches if batches else 0.0,
        cycles_per_packet=(
            {stage: busy * count / all_timed / packets for stage, count in timed.items()}
            if packets and all_timed
            else {}
        ),
    )
