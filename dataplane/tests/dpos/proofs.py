# SPDX-License-Identifier: Apache-2.0
"""What is claimed of dpos, shown at its limits.

    proofs.py [--long] [--guest FILE] [--NUMBER …] --program NAME=PATH… [PROOF…]

Without --guest it takes place in a network namespace of its own (network.py). Prints what each
proof came to as one JSON object a line. Exit status: 0, 1 (something is not as claimed), or 77
(there can be no network namespace here).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import capture
import network
import pools
import running
import streams
from flood import Flood
from network import Network
from running import Json, Place

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

STREAMS = 16
FLOOD_FACTOR = 10
CHURNERS = 32
CHURN_S = 0.25  # at least, of each load
LINK_STREAMS = 4
CUT_S = 1.5
PORTS_EACH = 25_000  # of a source address, of some 28,000


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """bytes: of streams, each way. connections: at a time. churned: one after the other. flood_s:
    how long the flood lasts."""

    bytes: int
    connections: int
    churned: int
    flood_s: int


SHORT = Sizes(bytes=2_000_000, connections=1_000, churned=1_000, flood_s=1)
LONG = Sizes(bytes=10**9, connections=100_000, churned=10**6, flood_s=10)


def _duration(seconds: float) -> str:
    return f"--duration={round(1000 * seconds)}ms"


# ---- bytes over a bad cable ----


def interop(net: Network, sizes: Sizes) -> Json:
    """Bytes in both directions over connections that Linux opens, and over some that dpos opens."""
    with net.bad() as place:
        return {"linux_opens": _linux_opens(place, sizes), "dpos_opens": _dpos_opens(place, sizes)}


def _linux_opens(place: Place, sizes: Sizes) -> Json:
    with running.dpos(place, *running.echo(place)) as one:
        figures = streams.exchange(one.connect, sizes.bytes, STREAMS)
        core = one.until_empty()
        assert core["application"]["bytes_in"] == core["application"]["bytes_out"]
        assert core["application"]["bytes_in"] == figures["bytes_each_way"]
        return {**figures, **_repairs(core)}


def _dpos_opens(place: Place, sizes: Sizes) -> Json:
    """rbload compares every byte of every reply."""
    moved, seconds, duration = 0, 0.0, 1.0
    repairs: Json = {}
    with running.linux_echo(place):
        while moved < sizes.bytes:
            document, core = _load_on_dpos(
                place,
                place.here,
                *("--mode=closed", f"--connections={STREAMS}", "--message-bytes=65536"),
                *("--warmup=0s", _duration(duration), "--rundown=120s"),
            )
            moved += document["bytes_received"]
            seconds += duration
            duration = min(60.0, max(1.0, 1.1 * (sizes.bytes - moved) * seconds / moved))
            for name, count in _repairs(core).items():
                repairs[name] = repairs.get(name, 0) + count
    return {"bytes_each_way": moved, "connections": STREAMS, **repairs}


def _repairs(core: Json) -> Json:
    """What the cable has done, which it must have done."""
    names = ("tcp_retransmitted", "tcp_out_of_order", "tcp_duplicates")
    found = {name: core["net"][name] for name in names}
    assert all(found.values()), f"the cable was a good one: {found}"
    assert core["net"]["bad_checksums"] == 0
    return found


def _load_on_dpos(
    place: Place, target: str, *options: str, dpos: tuple[str, ...] = ()
) -> tuple[Json, Json]:
    """rbload's document and its dpos's counters."""
    words = ("--", *running.load_words(place, target, *options))
    with running.dpos(place, "--drain=0", *dpos, *words, ready=False) as one:
        assert one.process.stdout is not None
        text = one.process.stdout.read()
        status = one.process.wait(running.STOP_S)
        assert status == 0, f"rbload ended with {status}: {one.said()}\n{text[-2000:]}"
        document = json.loads(text)
        running.check_load(document)
        return document, one.saved_core()


# ---- many connections ----


def connections(net: Network, sizes: Sizes) -> Json:
    """So many at a time on one core; each is asked something while all are there."""
    place, count = net.place, sizes.connections
    each = running.raise_descriptors(count + 1000) - 200
    parts = [min(each, count - at) for at in range(0, count, each)]
    begin = time.monotonic()
    with (
        running.dpos(
            place,
            *(f"--connections={count + 100}", "--backlog=4096"),
            *running.echo(place, f"--connections={count + 100}"),
            application=32 + count // 1000,
        ) as one,
        contextlib.ExitStack() as stack,
    ):
        before = one.core()["buffers"]
        holders = [
            stack.enter_context(_holder(place, part, sources))
            for part, sources in zip(parts, _shares(net, parts), strict=True)
        ]
        for word in ("open", "asked"):
            for holder in holders:
                _await_word(holder, word)
            core = one.core()
            assert core["used"]["connections"] == count, core["used"]
        took = time.monotonic() - begin
        for holder in holders:
            _, errors = holder.communicate("go on\n")
            assert holder.returncode == 0, errors
        core = one.until_empty()
        assert core["application"]["accepted"] == core["application"]["closed"] == count
        more = abs(core["buffers"]["rx"] - before["rx"])
        assert more <= one.keeps(), (before, core["buffers"])
        assert core["net"]["tcp_connections_full"] == core["net"]["tcp_resets_out"] == 0
        return {
            "connections": count,
            "retransmitted": core["net"]["tcp_retransmitted"],
            "seconds_to_open_and_ask": round(took, 3),
        }


@contextlib.contextmanager
def _holder(place: Place, count: int, sources: list[str]) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-B", str(Path(__file__).with_name("holders.py"))]
    words += [place.address, str(running.PORT), str(count), *sources]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _await_word(holder: subprocess.Popen[str], word: str) -> None:
    assert holder.stdout is not None and holder.stderr is not None
    said = holder.stdout.readline().strip()
    assert said == word, f"{said!r} instead of {word}: {holder.stderr.read()}"


def _shares(net: Network, parts: list[int]) -> list[list[str]]:
    """Source addresses of each part: none is of two parts."""
    needed = [-(-part // PORTS_EACH) for part in parts]
    addresses = iter(net.sources(sum(needed)))
    return [[next(addresses) for _ in range(count)] for count in needed]


# ---- connections that come and go ----


def churn(net: Network, sizes: Sizes) -> Json:
    """One request and an orderly close each; all buffers are where they were before."""
    place = net.place
    words = running.echo(place)
    with running.dpos(place, *words) as one:
        _churn(net, one, CHURN_S)
        before = _at_rest(one)
        begin, done, duration = time.monotonic(), 0, CHURN_S
        while done < sizes.churned:
            _churn(net, one, duration)
            done = one.core()["application"]["accepted"] - before["application"]["accepted"]
            rate = max(1, done) / (time.monotonic() - begin)
            duration = min(60.0, max(CHURN_S, 1.05 * (sizes.churned - done) / rate))
        seconds = time.monotonic() - begin
        _at_rest(one)
        after = one.until_back(before)
        assert after["application"]["accepted"] == after["application"]["closed"]
        assert after["net"]["tcp_resets_out"] == 0
        return {
            "connections": done,
            "seconds": round(seconds, 3),
            "connections_per_s": round(done / seconds),
            "retransmitted": after["net"]["tcp_retransmitted"],
            "resets_in": after["net"]["tcp_resets_in"],
            "buffers_before": before["buffers"],
            "buffers_after": after["buffers"],
        }


def _at_rest(one: running.Dpos) -> Json:
    one.until_empty()
    time.sleep(0.5)  # what is on its way arrives
    return one.until_empty()


def _churn(net: Network, one: running.Dpos, seconds: float) -> Json:
    """From this machine's TCP, or from a second dpos if there is a device for it."""
    place = net.place
    options = (
        *("--mode=closed", f"--connections={CHURNERS}", "--rpcs-per-connection=1"),
        *("--warmup=0s", _duration(seconds), "--rundown=60s"),
    )
    if not place.client_device:
        sources = ",".join(net.sources(40))
        return running.load(place, *options, f"--source={sources}")
    document, _ = _load_on_dpos(
        place.as_client(), place.address, *options, dpos=("--time-wait=1ms",)
    )
    return document


# ---- a flood of connection requests ----


def flood(net: Network, sizes: Sizes) -> Json:
    """Ten times as many SYNs as connections can be served: those there are stay served."""
    place = net.place
    # The way back to who is nowhere: to this machine, which has no use for it.
    with running.dpos(place, f"--gateway={place.here}", *running.echo(place)) as one:
        service = _service_rate(net)
        load = running.started_load(
            place,
            *("--mode=open", "--rate=200", "--connections=32", "--connect-timeout=60s"),
            *("--warmup=500ms", f"--duration={sizes.flood_s + 1}s", "--rundown=60s"),
        )
        one.until(lambda core: core["used"]["connections"] >= 32, "connected")
        before = one.core()["net"]
        newcomers = 0
        with Flood(place.interface, place.address, running.PORT, FLOOD_FACTOR * service) as sender:
            end = time.monotonic() + sizes.flood_s
            while time.monotonic() < end:
                with one.connect() as stream:
                    running.ping(stream, b"a newcomer")
                newcomers += 1
                time.sleep(0.05)
        document = running.finished(load)
        after = one.core()["net"]
        rate = sender.sent / sender.seconds
        cookies = after["tcp_cookies_sent"] - before["tcp_cookies_sent"]
        assert cookies > 0, "no SYN cookie was sent"
        if sizes.flood_s >= LONG.flood_s:  # a busy host may be late for a shorter one
            assert rate > 0.9 * FLOOD_FACTOR * service, f"only {rate:.0f} SYNs a second were sent"
        return {
            "service_per_s": round(service),
            "syns_per_s": round(rate),
            "syns": sender.sent,
            "cookies": cookies,
            "established_requests": document["completed"],
            "established_p99_us": document["latency"]["percentiles"]["99"] // 1000,
            "new_connections_served": newcomers,
        }


def _service_rate(net: Network) -> float:
    """Connections with one request each that are served in a second."""
    seconds = 1.0
    document = running.load(
        net.place,
        *("--mode=closed", f"--connections={CHURNERS}", "--rpcs-per-connection=1"),
        *("--warmup=0s", _duration(seconds), "--rundown=60s"),
    )
    rate: float = document["completed"] / seconds
    return rate


# ---- the cable ----


def link(net: Network, sizes: Sizes) -> Json:
    """The cable is pulled, bytes are sent nevertheless, and it is plugged in again: all arrive."""
    place, total = net.place, min(sizes.bytes, 100_000_000)
    with running.dpos(place, *running.echo(place)) as one:
        quiet, *movers = (one.connect() for _ in range(1 + LINK_STREAMS))
        running.ping(quiet, b"before")
        net.cut()
        _until_link(one, up=False)
        before = one.core()["application"]["bytes_in"]
        failures: list[str] = []
        mover = threading.Thread(target=_move, args=(movers, total, failures))
        mover.start()
        time.sleep(CUT_S)
        assert one.core()["application"]["bytes_in"] == before, "the cable was not cut"
        net.mend()
        _until_link(one, up=True)
        mended = time.monotonic()
        # Once more, with luck while bytes are under way from both sides.
        one.until(lambda core: core["application"]["bytes_in"] > before, "under way")
        net.cut()
        _until_link(one, up=False)
        net.mend()
        mover.join()
        seconds = time.monotonic() - mended
        assert not failures, failures
        running.ping(quiet, b"after")
        running.ping(again := one.connect(), b"a new one")
        for stream in (quiet, again):
            stream.close()
        core = one.until_empty()
        return {
            "bytes_each_way": total,
            "seconds_after": round(seconds, 3),
            "timeouts": core["net"]["tcp_timeouts"],
        }


def _move(connections: list[socket.socket], total: int, failures: list[str]) -> None:
    try:
        streams.exchange(connections.pop, total, len(connections))
    except (AssertionError, OSError) as error:
        failures.append(repr(error))


def _until_link(one: running.Dpos, *, up: bool) -> None:
    end = time.monotonic() + running.ANSWER_S
    while one.counters()["link"] != up:
        assert time.monotonic() < end, f"the link is not {'up' if up else 'down'}"
        time.sleep(0.05)


# ---- all of them ----

type Proof = Callable[[Network, Sizes], Json]

PROOFS: dict[str, Proof] = {
    "capture": lambda net, sizes: capture.capture(net.place),
    "churn": churn,
    "connections": connections,
    "flood": flood,
    "interop": interop,
    "link": link,
    "pools": lambda net, sizes: pools.exhaust(net, min(sizes.bytes, 20_000_000)),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=", ".join(PROOFS))
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--guest", type=Path, metavar="FILE")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH")
    for one in fields(Sizes):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=int)
    arguments = parser.parse_args()
    programs = dict(word.split("=", 1) for word in arguments.program)
    asked = {one.name: getattr(arguments, one.name) for one in fields(Sizes)}
    sizes = replace(
        LONG if arguments.long else SHORT,
        **{name: number for name, number in asked.items() if number is not None},
    )
    net: Network
    names = arguments.proofs
    if arguments.guest is not None:
        net = network.Guest(programs, arguments.guest)
    else:
        netns.enter_or_skip()
        net = network.Veths(programs)
        # dumpcap attaches to huge pages, of which there are none.
        names = names or [name for name in PROOFS if name != "capture"]
    return run(net, sizes, names or list(PROOFS))


def run(net: Network, sizes: Sizes, names: list[str]) -> int:
    status = 0
    for name in names:
        begin = time.monotonic()
        try:
            figures = PROOFS[name](net, sizes)
        except (AssertionError, LookupError, OSError, subprocess.TimeoutExpired) as error:
            status = 1
            traceback.print_exc(file=sys.stdout)
            figures = {"failed": f"{type(error).__name__}: {error}"}
        took = round(time.monotonic() - begin, 1)
        print(json.dumps({"proof": name, "took_s": took, **figures}), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
