# SPDX-License-Identifier: Apache-2.0
"""dpos as a user starts it: with an application, on a device of a network namespace of its own, and
this machine's TCP at the other end of a cable.

    serve.py DPOS RB_ECHO RB_HELLO RB_FRAMES

The device is a veth that DPDK drives through a packet socket. Exit status: 0, 1 (a test failed), or
77 (there can be no network namespace here, or nothing that dpos needs).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from network import Veths
from running import (
    ANSWER_S,
    PORT,
    START_S,
    STOP_S,
    Place,
    check_load,
    dpos,
    echo,
    exactly,
    ping,
    run_all,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

NOBODY = "10.9.0.3"
NAMES = ("dpos", "rb-echo", "rb-hello", "rb-frames")


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


def frames(place: Place, *load: str) -> tuple[int, str, Any]:
    """Bare frames from this machine's device to the other end, 32 of them under way: the status,
    what was said, and the document if there is one."""
    with tempfile.TemporaryDirectory() as directory:
        document = Path(directory) / "load.json"
        words = [
            *(place.program("rb-frames"), "02:00:00:00:00:01"),
            *(f"--device=net_af_packet0,iface={place.interface}", f"--cpus={place.cpus[1]}"),
            *(f"--address={NOBODY}", *place.memory(128), "--", f"--target={place.address}:7000"),
            *("--mode=closed", "--transport=udp", "--connections=32", "--message-bytes=64"),
            *("--warmup=50ms", "--duration=500ms", f"--output={document}", *load),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=START_S, check=False)
        written = json.loads(document.read_text()) if document.exists() else None
        return done.returncode, done.stderr, written


def test_frames(place: Place) -> None:
    """The generator of bare frames has each of them answered, and says so when none is."""
    with dpos(place, "--stack=l2", "--batch=16") as one:
        status, said, document = frames(place)
        assert status == 0, said
        loop = one.core()["loop"]
        assert loop["packets"] > 2 * loop["batches"], "frames come in bursts"
    check_load(document)
    assert document["connections"] == 32 and document["completed_in_window"] > 32
    assert document["bytes_received"] == 64 * document["completed"]
    status, said, document = frames(place, "--reply-timeout=50ms", "--rundown=100ms")
    assert status == 3, said
    assert "no request of the measured window was answered" in " ".join(document["reasons"])
    assert document["errors"]["timeout"] >= 32
    status, said, document = frames(place, "--mode=open", "--rate=10")
    assert status == 2 and "--mode=closed" in said and document is None, said


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
    sys.exit(run(globals(), dict(zip(NAMES, sys.argv[1:], strict=True))))
