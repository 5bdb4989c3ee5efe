# SPDX-License-Identifier: Apache-2.0
"""dpos with two cores, on a device that spreads packets as it likes, and this machine's TCP at the
other end of the cable (see serve.py).

    cores.py DPOS RB_ECHO RBLOAD

Exit status: as serve.py's.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serve
from running import ANSWER_S, START_S, STOP_S, Dpos, Json, Place, dpos, echo, exactly

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

CORES = 2
DEVICE = "--device=net_af_packet0,iface=dpos0,qpairs=2"
THREADS = f"--threads={CORES}"
HERE_PORT = 9100
STREAMS = 32
KEY = (
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"  # asymmetric
)
Core = dict[str, dict[str, Any]]


def cpus() -> str:
    """Of this machine's first two, or twice the only one."""
    own = sorted(os.sched_getaffinity(0))
    return f"--cpus={own[0]},{own[1 % len(own)]}"


@contextlib.contextmanager
def two_cores(place: Place, *words: str, ready: bool = True) -> Iterator[Dpos]:
    with dpos(place, DEVICE, cpus(), *words, ready=ready) as one:
        yield one


def cores(counters: Json) -> list[Core]:
    found = counters["cores"]
    assert isinstance(found, list) and len(found) == CORES
    return found


def total(found: list[Core], part: str, name: str) -> int:
    return sum(int(core[part][name]) for core in found)


def saved(one: Dpos) -> list[Core]:
    return cores(json.loads((one.directory / "stats.json").read_text()))


def check_sums(found: list[Core]) -> None:
    """Nothing is lost between cores, nothing comes twice or in another order."""
    assert total(found, "queue", "inbox_full") == total(found, "queue", "inbox_lost") == 0
    assert total(found, "queue", "handed_over") == total(found, "queue", "taken_over")
    received, shared = total(found, "queue", "rx_packets"), total(found, "queue", "shared")
    assert total(found, "net", "packets_in") == received + shared
    assert total(found, "loop", "packets") == received + shared
    for name in ("tcp_out_of_order", "bad_checksums"):
        assert total(found, "net", name) == 0, name


def check_place(found: list[Core]) -> None:
    """What comes is at the core that it is for; but for what a busy machine has sent twice, and
    whose connection has gone meanwhile."""
    assert total(found, "net", "tcp_no_connection") * 20 < total(found, "net", "tcp_in")


def exchange(streams: list[socket.socket], data: bytes) -> None:
    """All at once: so many bytes there and back on each."""
    sent = dict.fromkeys(streams, 0)
    got = {stream: bytearray() for stream in streams}
    end = time.monotonic() + 3 * ANSWER_S
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
        while any(len(text) < len(data) for text in got.values()):
            assert time.monotonic() < end, [len(text) for text in got.values()]
            for key, events in selector.select(1.0):
                stream = key.data
                if events & selectors.EVENT_WRITE:
                    sent[stream] += stream.send(data[sent[stream] : sent[stream] + 16384])
                    if sent[stream] == len(data):
                        selector.modify(stream, selectors.EVENT_READ, stream)
                if events & selectors.EVENT_READ:
                    part = stream.recv(65536)
                    assert part, "the connection ended"
                    got[stream] += part
    assert all(bytes(text) == data for text in got.values())


def test_both_serve(place: Place) -> None:
    """Each connection is its core's from beginning to end, wherever its packets come in."""
    with two_cores(place, *echo(place, THREADS)) as one:
        streams = [one.connect() for _ in range(60)]
        for number in range(20):
            for stream in streams:
                stream.sendall(bytes([number]) * 64)
            for stream in streams:
                assert exactly(stream, 64) == bytes([number]) * 64
        exchange(streams[:8], os.urandom(1 << 16))  # never more than the device's ring can hold
        counters = one.counters()
        assert counters["rss"] is False
        found = cores(counters)
        assert total(found, "application", "accepted") == len(streams)
        assert all(core["application"]["accepted"] > 10 for core in found)
        assert all(core["application"]["bytes_in"] > 10 * 20 * 64 for core in found)
        for stream in streams:
            stream.close()
        assert one.stop() == 0, one.errors.read_text()
        found = saved(one)
        assert total(found, "application", "closed") == len(streams)
        assert total(found, "queue", "handed_over") > total(found, "queue", "shared")
        check_sums(found)
        check_place(found)


def test_both_know_the_neighbours(place: Place) -> None:
    """ARP comes to one of them."""
    with two_cores(place, *echo(place, THREADS)) as one:
        netns.forget_neighbour(place.interface, place.address)
        streams = [one.connect() for _ in range(20)]
        for stream in streams:
            stream.close()
        assert one.stop() == 0, one.errors.read_text()
        found = saved(one)
        assert all(core["net"]["arp_in"] > 0 for core in found)
        assert all(core["application"]["accepted"] > 0 for core in found)
        assert total(found, "net", "arp_in") == CORES * total(found, "queue", "shared")
        check_sums(found)


def open_from_both(place: Place, *words: str) -> None:
    argv = [place.program("rb-echo"), f"--port={HERE_PORT}", f"--address={place.here}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("ready")
            with two_cores(
                place,
                *words,
                "--time-wait=100ms",
                *(
                    "--",
                    place.program("rbload"),
                    f"--target={place.here}:{HERE_PORT}",
                    "--mode=closed",
                ),
                *(f"--threads={CORES}", f"--connections={STREAMS}", "--rpcs-per-connection=4"),
                *("--warmup=0", "--duration=1s", "--min-on-time=0"),
                ready=False,
            ) as one:
                assert one.process.wait(3 * STOP_S) == 0, one.errors.read_text()
                found = saved(one)
        finally:
            server.terminate()
    opened = [core["application"]["connected"] for core in found]
    assert min(opened) >= STREAMS // CORES, opened
    assert total(found, "queue", "handed_over") > total(found, "queue", "shared")
    assert total(found, "queue", "inbox_full") == total(found, "queue", "inbox_lost") == 0
    check_place(found)


def test_both_open_connections(place: Place) -> None:
    """Answers come to the core that has asked."""
    open_from_both(place)


def test_both_open_connections_by_key(place: Place) -> None:
    """The same where both directions hash differently."""
    open_from_both(place, f"--rss-key={KEY}")


def test_ends_with_connections(place: Place) -> None:
    """Both cores' connections are reset at the end, and the device is there for the next one."""
    for _ in range(2):
        with two_cores(place, "--drain=0", *echo(place, THREADS)) as one:
            streams = [one.connect() for _ in range(20)]
            for stream in streams:
                stream.sendall(b"a" * 64)
                assert exactly(stream, 64) == b"a" * 64
            assert one.stop() == 0, one.errors.read_text()
            for stream in streams:
                with stream, contextlib.suppress(ConnectionResetError):
                    assert stream.recv(1) != b"", "an orderly end"


def test_a_core_without_a_thread(place: Place) -> None:
    """An application that leaves cores idle is told of it."""
    with two_cores(place, *echo(place)) as one:
        end = time.monotonic() + ANSWER_S
        while "1 of 2 cores" not in one.errors.read_text():
            assert time.monotonic() < end, one.errors.read_text()
            time.sleep(0.05)
        assert one.stop() == 0, one.errors.read_text()


def test_l2(place: Place) -> None:
    """Datagrams come back by the core of their ports."""
    with two_cores(place, "--stack=l2") as one:
        netns.add_neighbour(place.interface, serve.NOBODY, b"\x02\0\0\0\0\1")
        for port in range(7000, 7020):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.settimeout(ANSWER_S)
                datagrams.connect((serve.NOBODY, port))
                datagrams.send(bytes(100))
                assert datagrams.recv(2000) == bytes(100)
        assert one.stop() == 0, one.errors.read_text()
        found = saved(one)
        assert all(core["queue"]["tx_packets"] > 0 for core in found)


def test_too_many(place: Place) -> None:
    """More cores than the device has queues."""
    device = "--device=net_af_packet0,iface=dpos0"
    with two_cores(place, device, *echo(place), ready=False) as one:
        assert one.process.wait(START_S) == 1, one.errors.read_text()
        assert "2 queues" in one.errors.read_text(), one.errors.read_text()


if __name__ == "__main__":
    names = ("dpos", "rb-echo", "rbload")
    sys.exit(serve.run(globals(), dict(zip(names, sys.argv[1:], strict=True))))
