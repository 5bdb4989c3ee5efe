# SPDX-License-Identifier: Apache-2.0
"""Idle gaps of connections in the two traces of a link, and what explains each.

    gaps.py END0.pcap END1.pcap [LIBRARY.json LINUX.json]

A sender makes progress when it sends something or when an acknowledgement comes that takes it on. A
gap is a time without progress, longer than the least retransmission timeout (the round trip and
200 ms), in which it had something under way or had not yet sent its FIN. It is explained by
  data lost         every transmission of the oldest byte under way was lost by the link, or
  old timestamp     it arrived, but overtaken by a later one, and so refused (RFC 7323 5.3, R1), or
  ack lost          it arrived, and every acknowledgement of it was lost, or
  resolution lost   a SYN was not answered, as ARP or neighbour discovery was lost, or
  window            the receiver had offered less than a segment,
and its length must not exceed the timeout of RFC 6298 with the back-off of section 5.5 for as
many transmissions as the byte has had, after the probe timeout of RFC 8985; round trips may be
measured with RFC 7323's timestamps or without. `late` in the results of both roles of net-tap says
when they did not run in time: so much longer a gap may be, and one that nothing else explains has
the reason `late`. Of frames the headers suffice. Prints a table, and exits with 1 if a gap is left.
"""

from __future__ import annotations

import json
import struct
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Json = dict[str, object]
Key = tuple[bytes, int, bytes, int]  # source, port, target, port

RTO_MIN_S = 0.2
_RTO_INITIAL_S = 1.0
_RTO_AFTER_SYN_S = (
    3.0  # RFC 6298 5.7: where the SYN's timer has expired, until something is measured
)
_SLACK = 1.25  # Linux and the library round RTTVAR up, each in its way
_SLACK_S = 0.1
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_HALF = 1 << 31
_NS = 1e9


@dataclass(slots=True)
class Segment:
    time: float
    seq: int
    ack: int
    flags: int
    window: int  # as in the header
    length: int
    shift: int  # of a SYN; -1: none
    stamp: int  # TSval; -1: none
    echo: int  # TSecr; -1: none
    frame: bytes
    arrived: float = -1.0  # at the other end; -1: it was lost

    @property
    def end(self) -> int:
        return self.seq + self.length + bool(self.flags & _SYN) + bool(self.flags & _FIN)


@dataclass(frozen=True, kw_only=True)
class Gap:
    connection: str
    begin_s: float
    length_s: float
    least_s: float  # less is none
    limit_s: float
    transmissions: int
    reason: str


def _frames(path: Path) -> Iterator[tuple[float, bytes]]:
    data = path.read_bytes()
    at = 24
    while at + 16 <= len(data):
        seconds, ns, size, _ = struct.unpack_from("<IIII", data, at)
        yield seconds + ns / _NS, data[at + 16 : at + 16 + size]
        at += 16 + size


def _option(options: bytes, kind: int, size: int) -> int:
    """The number that begins the option, of so many bytes; -1: there is none."""
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2:
            break
        if options[at] == kind:
            return int.from_bytes(options[at + 2 : at + 2 + size])
        at += options[at + 1]
    return -1


def _parse(time: float, frame: bytes) -> tuple[Key, Segment] | None:
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 6:
        source, target = frame[26:30], frame[30:34]
        tcp, end = 34, 14 + int.from_bytes(frame[16:18])
    elif kind == b"\x86\xdd" and frame[20] == 6:
        source, target = frame[22:38], frame[38:54]
        tcp, end = 54, 54 + int.from_bytes(frame[18:20])
    else:
        return None
    port, other, seq, ack, offset, flags, window = struct.unpack_from(">HHIIBBH", frame, tcp)
    payload = tcp + (offset >> 4) * 4
    options = frame[tcp + 20 : payload]
    shift = _option(options, 3, 1) if flags & _SYN else -1
    stamps = _option(options, 8, 8)
    stamp, echo = (stamps >> 32, stamps & 0xFFFFFFFF) if stamps >= 0 else (-1, -1)
    segment = Segment(time, seq, ack, flags, window, end - payload, shift, stamp, echo, frame)
    return (source, port, target, other), segment


def _lost_resolutions(end0: Path, end1: Path) -> list[float]:
    """When ARP or neighbour discovery was sent and did not arrive."""
    seen: list[dict[bytes, list[float]]] = []
    for path in (end0, end1):
        frames: dict[bytes, list[float]] = defaultdict(list)
        for time, frame in _frames(path):
            if frame[12:14] == b"\x08\x06" or (frame[12:14] == b"\x86\xdd" and frame[20] == 58):
                frames[frame].append(time)
        seen.append(frames)
    lost: list[float] = []
    for own, other in ((0, 1), (1, 0)):
        for frame, times in seen[own].items():
            lost += times[len(seen[other].get(frame, [])) :]
    return lost


def _unwrap(value: int, near: int) -> int:
    """The number that is `value` modulo 2^32, nearest to `near`."""
    return near + ((value - near + _HALF) & 0xFFFFFFFF) - _HALF


Way = list[Segment]  # one direction of a connection: what was sent, with what became of it


def _match(sent: list[tuple[Key, Segment]], received: dict[bytes, list[float]]) -> None:
    """Notes when each frame has arrived. Twice the same bytes are the same frame, in order."""
    for _, segment in sent:
        waiting = received.get(segment.frame)
        while waiting and waiting[0] < segment.time:
            waiting.pop(0)
        if waiting:
            segment.arrived = waiting.pop(0)


def _ways(end0: Path, end1: Path) -> dict[Key, Way]:
    ways: dict[Key, Way] = defaultdict(list)
    for number, own, other in ((1, end0, end1), (2, end1, end0)):
        parsed = (_parse(time, frame) for time, frame in _frames(own))
        mine = [one for one in parsed if one is not None and one[0][0][-1] == number]
        # of all frames there, its own too, which are none of these
        arrivals: dict[bytes, list[float]] = defaultdict(list)
        for time, frame in _frames(other):
            arrivals[frame].append(time)
        _match(mine, arrivals)
        for key, segment in mine:
            ways[key].append(segment)
    return ways


def _absolute(way: Way, back: Way) -> bool:
    """Unwraps all numbers; False: there is no beginning to count from."""
    syn = next((one for one in way if one.flags & _SYN), None)
    other = next((one for one in back if one.flags & _SYN), None)
    if syn is None or other is None:
        return False
    for segments, own, peer in ((way, syn.seq, other.seq), (back, other.seq, syn.seq)):
        near, far = own, peer
        for segment in segments:
            near = segment.seq = _unwrap(segment.seq, near)
            far = segment.ack = _unwrap(segment.ack, far)
    return True


def _between(way: Way, begin: float, end: float) -> Way:
    """What was sent in that time, both ends included; a way is in the order of sending."""
    first = bisect_left(way, begin, key=lambda one: one.time)
    return way[first : bisect_right(way, end, lo=first, key=lambda one: one.time)]


@dataclass(slots=True)
class _Estimate:
    """Of the round trip, RFC 6298 2."""

    srtt: float = 0.0
    rttvar: float = 0.0
    initial: float = _RTO_INITIAL_S

    def rto(self) -> float:
        return self.srtt + max(4 * self.rttvar, RTO_MIN_S) if self.srtt else self.initial

    def sample(self, rtt: float) -> None:
        if not self.srtt:
            self.srtt, self.rttvar = rtt, rtt / 2
            return
        self.rttvar += (abs(self.srtt - rtt) - self.rttvar) / 4
        self.srtt += (rtt - self.srtt) / 8


class _Sender:
    """What a sender knew, replayed from its own trace; finds its gaps."""

    def __init__(self, name: str, way: Way, back: Way, resolutions: list[float]) -> None:
        self.name, self.way, self.back, self.resolutions = name, way, back, resolutions
        self.una = self.nxt = way[0].seq
        self.fin = -1
        self.window = 1 << 16
        self.shift = 0
        # RFC 7323 4.1: an echo measures what was sent again, too. Where that was the SYN it is
        # mostly the first one's, and the round trip as long as the timeout was. Who does so, and
        # when, is the sender's to choose.
        self.once, self.echoed = _Estimate(), _Estimate()
        self.pending: deque[tuple[int, float, int]] = deque()  # end, time, transmissions
        self.tries = 0
        self.last = way[0].time
        self.stamped: dict[int, float] = {}  # when a timestamp was first sent
        for one in way:
            self.stamped.setdefault(one.stamp, one.time)
        self.gaps: list[Gap] = []

    def limit(self) -> float:
        base = max(self.once.rto(), self.echoed.rto())
        # RFC 8985 7.3: a probe timeout, itself no longer than the RTO, may have run before it
        return base * ((1 << max(self.tries - 1, 0)) + 1) * _SLACK + _SLACK_S

    def refused(self, segment: Segment) -> bool:
        """RFC 7323 5.3: one at the left edge of the window has brought a later timestamp before."""
        return segment.stamp >= 0 and any(
            0 <= one.arrived <= segment.arrived
            and one.seq <= self.una
            and 0 < (one.stamp - segment.stamp) & 0xFFFFFFFF < _HALF
            for one in _between(self.way, segment.time, segment.arrived)
        )

    def reason(self, now: float) -> str:
        if self.una == self.nxt:
            return "window" if self.window < 1500 else "nothing"
        sent = _between(self.way, self.pending[0][1], now)
        tries = [one for one in sent if one.seq <= self.una < one.end and one.time < now]
        arrived = [one.arrived for one in tries if one.arrived >= 0 and one.arrived < now]
        if not arrived:
            return "data lost"
        if all(self.refused(one) for one in tries if 0 <= one.arrived < now):
            return "old timestamp"
        answers = [
            one
            for one in _between(self.back, arrived[0], self.last + RTO_MIN_S)
            if arrived[0] <= one.time < self.last + RTO_MIN_S
            and one.flags & _ACK
            and one.ack > self.una
        ]
        if answers and all(one.arrived < 0 for one in answers):
            return "ack lost"
        unanswered = tries[0].flags & _SYN and not answers
        if unanswered and any(self.last <= time < now for time in self.resolutions):
            return "resolution lost"
        return "window" if self.window < 1500 else "nothing"

    def progress(self, now: float) -> None:
        over = self.fin >= 0 and self.una > self.fin
        least = self.once.srtt + RTO_MIN_S
        if now - self.last > least and not over:
            gap = Gap(
                connection=self.name,
                begin_s=self.last,
                length_s=now - self.last,
                least_s=least,
                limit_s=self.limit(),
                transmissions=self.tries,
                reason=self.reason(now),
            )
            self.gaps.append(gap)
        self.last = now

    def sends(self, segment: Segment) -> None:
        if segment.end == segment.seq:
            return
        self.progress(segment.time)
        if segment.seq <= self.una < segment.end:
            self.tries += 1
        if segment.flags & _SYN and self.tries > 1:
            self.once.initial = self.echoed.initial = _RTO_AFTER_SYN_S
        if segment.end > self.nxt:
            self.pending.append((segment.end, segment.time, 1))
            self.nxt = segment.end
        else:  # Karn: what was sent again measures nothing
            self.pending = deque((end, time, 2) for end, time, _ in self.pending)
        if segment.flags & _FIN:
            self.fin = segment.end - 1

    def hears(self, segment: Segment) -> None:
        if segment.flags & _SYN:
            self.shift = max(segment.shift, 0)
        self.window = segment.window << (0 if segment.flags & _SYN else self.shift)
        if not segment.flags & _ACK or segment.ack <= self.una:
            return
        self.progress(segment.arrived)
        self.una, self.tries = segment.ack, 1
        rtt = 0.0
        while self.pending and self.pending[0][0] <= self.una:
            _, time, transmissions = self.pending.popleft()
            rtt = segment.arrived - time if transmissions == 1 else 0.0
        if rtt:
            self.once.sample(rtt)
        elif segment.echo > 0:
            rtt = segment.arrived - self.stamped.get(segment.echo, segment.arrived)
        if rtt:
            self.echoed.sample(rtt)

    def run(self) -> list[Gap]:
        heard = sorted((one for one in self.back if one.arrived >= 0), key=lambda x: x.arrived)
        events = [(one.time, 0, one) for one in self.way]
        events += [(one.arrived, 1, one) for one in heard]
        for _, kind, segment in sorted(events, key=lambda event: event[:2]):
            if segment.flags & _RST:
                break
            (self.hears if kind else self.sends)(segment)
        return self.gaps


def find(end0: Path, end1: Path) -> tuple[int, list[Gap]]:
    """How many connections there were, and their gaps."""
    ways = _ways(end0, end1)
    lost = _lost_resolutions(end0, end1)
    gaps: list[Gap] = []
    count = 0
    for (source, port, target, other), way in ways.items():
        back = ways.get((target, other, source, port))
        if source[-1] != 1 or back is None or not _absolute(way, back):
            continue
        count += 1
        gaps += _Sender(f"library:{port} to linux:{other}", way, back, lost).run()
        gaps += _Sender(f"linux:{other} to library:{port}", back, way, lost).run()
    return count, gaps


def _number(result: Json, name: str) -> int:
    value = result.get(name, 0)
    assert isinstance(value, int)
    return value


def _lateness(result: Json, start_ns: int) -> list[tuple[float, float]]:
    late = result.get("late", [])
    assert isinstance(late, list)
    return [((one["at_ns"] - start_ns) / _NS, one["length_ns"] / _NS) for one in late]


def explain(end0: Path, end1: Path, library: Json, linux: Json) -> Json:
    """All gaps, as a table; those that the lateness of a role makes longer may be longer."""
    connections, gaps = find(end0, end1)
    # the traces have the library's times, the other role has the machine's
    late = sorted(_lateness(library, 0) + _lateness(linux, _number(library, "start_ns")))
    late_in_all = _number(library, "late_count") + _number(linux, "late_count")
    starts = [at for at, _ in late]
    rows: list[Json] = []
    for gap in gaps:
        upto = bisect_right(starts, gap.begin_s + gap.length_s)
        extra = sum(length for at, length in late[:upto] if at + length > gap.begin_s)
        in_time = gap.reason != "nothing" and gap.length_s <= gap.limit_s + extra
        late_alone = not in_time and extra >= gap.length_s - gap.least_s
        rows.append(
            {
                "connection": gap.connection,
                "begin_s": round(gap.begin_s, 6),
                "length_s": round(gap.length_s, 6),
                "limit_s": round(gap.limit_s + extra, 6),
                "transmissions": gap.transmissions,
                "reason": "late" if late_alone else gap.reason,
                "explained": in_time or late_alone,
            }
        )
    return {"connections": connections, "gaps": rows, "late_not_noted": late_in_all - len(late)}


def reasons(table: object) -> Counter[str]:
    """How many gaps have which reason."""
    assert isinstance(table, dict)
    return Counter(row["reason"] for row in table["gaps"])


def unexplained(table: object) -> list[str]:
    assert isinstance(table, dict)
    found = [
        f"{row['connection']}: idle for {row['length_s']} s at {row['begin_s']} s: {row['reason']}"
        for row in table["gaps"]
        if not row["explained"]
    ]
    if found and table["late_not_noted"]:
        found.append(f"net-tap ran late {table['late_not_noted']} more times than it can note")
    return found


def _read(path: str) -> Json:
    result: Json = json.loads(Path(path).read_text())
    return result


def main() -> int:
    library, linux = ({}, {}) if len(sys.argv) == 3 else map(_read, sys.argv[3:])
    table = explain(Path(sys.argv[1]), Path(sys.argv[2]), library, linux)
    json.dump(table, sys.stdout, indent=1)
    print()
    faults = unexplained(table)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main())
