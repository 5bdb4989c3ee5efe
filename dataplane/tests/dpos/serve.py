# SPDX-License-Identifier: Apache-2.0
"""dpos as a user starts it: with an application, on a device of a network namespace of its own, and
this machine's TCP at the other end of a cable.

    serve.py DPOS RB_ECHO RB_HELLO

The device is a veth that DPDK drives through a packet socket. Exit status: 0, 1 (a test failed), or
77 (there can be no network namespace here, or nothing that dpos needs).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from network import Veths
from running import ANSWER_S, PORT, START_S, STOP_S, Place, dpos, echo, exactly, ping, run_all

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

NOBODY = "10.9.0.3"


def test_echo(place: Place) -> None:
    """Small messages, a large one against flow control, many connections, the end of a stream."""
    with dpos(place, *echo(place)) as one:
        with one.connect() as stream:
            for number in range(500):
                ping(stream, struct.pack("<I", number) * 16)
            large = os.urandom(1 << 20)
            got = b""
            at = 0
            stream.setblocking(False)
            end = time.monotonic() + ANSWER_S
            while len(got) < len(large):
                assert time.monotonic() < end, f"{len(got)} bytes came back"
                with contextlib.suppress(BlockingIOError):
                    at += stream.send(large[at : at + 65536]) if at < len(large) else 0
                with contextlib.suppress(BlockingIOError):
                    got += stream.recv(65536)
            assert got == large
            stream.settimeout(ANSWER_S)
            stream.shutdown(socket.SHUT_WR)
            assert stream.recv(1) == b""
        streams = [one.connect() for _ in range(100)]
        for number, stream in enumerate(streams):
            stream.sendall(bytes([number]) * 64)
        for number, stream in enumerate(streams):
            assert exactly(stream, 64) == bytes([number]) * 64
        core = one.core()
        assert core["application"]["accepted"] == 101
        assert core["net"]["bad_checksums"] == 0
        assert core["queue"]["tx_full"] == 0
        assert core["loop"]["busy_cycles"] > 0
        for stream in streams:
            stream.close()
        assert one.stop() == 0
        assert one.saved_core()["application"]["closed"] == 101


def test_hello(place: Place) -> None:
    """The application that the documentation begins with."""
    with dpos(place, "--", place.program("rb-hello")) as one, one.connect() as stream:
        for _ in range(3):
            stream.sendall(b"who is there?")
            assert exactly(stream, 6) == b"hello\n"
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(1) == b""
        assert one.stop() == 128 + signal.SIGTERM  # it takes no signals


def test_nobody_listens(place: Place) -> None:
    """A port without a listener refuses."""
    with dpos(place, *echo(place)) as one:
        try:
            one.connect(PORT + 1).close()
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("connected to a port where nobody listens")


def test_drain(place: Place) -> None:
    """After SIGTERM connections go on until they are closed; no new ones come."""
    with dpos(place, "--drain=60s", *echo(place)) as one:
        with one.connect() as stream:
            ping(stream, b"a" * 64)
            one.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + ANSWER_S
            while True:
                try:
                    one.connect().close()
                except (ConnectionRefusedError, ConnectionResetError):
                    break
                assert time.monotonic() < end, "connections are still taken"
            ping(stream, b"b" * 64)
        assert one.process.wait(STOP_S) == 0


def test_restart(place: Place) -> None:
    """What is still open is reset at the end, and the device is there for the next one."""
    for _ in range(2):
        with dpos(place, "--drain=0", *echo(place)) as one, one.connect() as stream:
            ping(stream, b"a" * 64)
            assert one.stop() == 0
            try:
                assert stream.recv(1) != b"", "an orderly end"
            except ConnectionResetError:
                pass


def test_l2(place: Place) -> None:
    """Without protocols: what is sent to it comes back."""
    with dpos(place, "--stack=l2"):
        netns.add_neighbour(place.interface, NOBODY, b"\x02\0\0\0\0\1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(ANSWER_S)
            datagrams.connect((NOBODY, 7000))
            for number in range(100):
                datagrams.send(bytes([number]) * 100)
                assert datagrams.recv(2000) == bytes([number]) * 100


def test_refusals(place: Place) -> None:
    """Each wrong start says what is wrong, and ends with the status of its kind."""
    server = ("--", place.program("rb-echo"))
    for words, status, said in (
        (("--batch=65", *server), 2, "1..64"),
        (("--batsch=6", *server), 2, "did you mean '--batch'"),
        ((), 2, "the application is missing"),
        (("--stack=l2", *server), 2, "without an application"),
        (("--", "/nowhere/rb-echo"), 1, "/nowhere/rb-echo"),
        (("--device=net_af_packet0,iface=dpos9", *server), 1, "net_af_packet0"),
        (("--rss-key=12", *server), 2, "80 hexadecimal digits"),
        (("--config=/nowhere/dpos.conf", *server), 2, "/nowhere/dpos.conf"),
    ):
        with dpos(place, *words, ready=False) as one:
            assert one.process.wait(START_S) == status, words
            assert said in one.errors.read_text(), words


def run(names: dict[str, Any], programs: dict[str, str]) -> int:
    """Runs the tests among the names on a cable of their own. The exit status."""
    netns.enter_or_skip()
    tests = {name: test for name, test in sorted(names.items()) if name.startswith("test_")}
    return run_all(tests, Veths(programs).place)


if __name__ == "__main__":
    sys.exit(run(globals(), dict(zip(("dpos", "rb-echo", "rb-hello"), sys.argv[1:], strict=True))))
