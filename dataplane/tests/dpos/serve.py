# SPDX-License-Identifier: Apache-2.0
"""dpos as a user starts it: with an application, on a device of a network namespace of its own, and
this machine's TCP at the other end of a cable.

    serve.py DPOS RB_ECHO

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
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import netns  # noqa: E402  it lies beside other tests

HERE, DPOS, NOBODY = "10.9.0.1", "10.9.0.2", "10.9.0.3"
PORT = 9000
START_S, STOP_S, ANSWER_S = 60.0, 60.0, 60.0  # of a machine with other things to do
Json = dict[str, object]


class Dpos:
    """A running dpos. `directory`: where its files are."""

    def __init__(self, words: list[str], directory: Path) -> None:
        self.directory = directory
        self.errors = directory / "errors"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)

    def await_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.process.wait(STOP_S)
            raise AssertionError(f"no ready line but {line!r}; it said:\n{self.errors.read_text()}")

    def counters(self) -> Json:
        """From the control socket."""
        text = b""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(ANSWER_S)
            control.connect(str(self.directory / "control"))
            while part := control.recv(65536):
                text += part
        found: Json = json.loads(text)
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextlib.contextmanager
def dpos(program: str, *words: str) -> Iterator[Dpos]:
    """Started, ended at the latest with the block."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        argv = [
            program,
            "--device=net_af_packet0,iface=dpos0",
            f"--cpus={min(os.sched_getaffinity(0))}",
            *(f"--address={DPOS}", "--plain-memory=128m", "--app-memory=64m"),
            f"--control={directory / 'control'}",
            f"--stats={directory / 'stats.json'}",
            *words,
        ]
        one = Dpos(argv, directory)
        try:
            yield one
        finally:
            if one.process.poll() is None:
                one.process.kill()
            one.process.wait()
            assert one.process.stdout is not None
            one.process.stdout.close()


def connected() -> socket.socket:
    return socket.create_connection((DPOS, PORT), timeout=ANSWER_S)


def exactly(stream: socket.socket, count: int) -> bytes:
    text = b""
    while len(text) < count:
        part = stream.recv(min(65536, count - len(text)))
        if not part:
            raise AssertionError(f"the connection ended after {len(text)} of {count} bytes")
        text += part
    return text


def only_core(counters: Json) -> dict[str, dict[str, Any]]:
    cores = counters["cores"]
    assert isinstance(cores, list) and len(cores) == 1
    core: dict[str, dict[str, Any]] = cores[0]
    return core


def test_echo(program: str, echo: str) -> None:
    """Small messages, a large one against flow control, many connections, the end of a stream."""
    with dpos(program, "--", echo, f"--port={PORT}", f"--address={DPOS}") as one:
        one.await_ready()
        with connected() as stream:
            for number in range(500):
                message = struct.pack("<I", number) * 16
                stream.sendall(message)
                assert exactly(stream, 64) == message
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
        streams = [connected() for _ in range(100)]
        for number, stream in enumerate(streams):
            stream.sendall(bytes([number]) * 64)
        for number, stream in enumerate(streams):
            assert exactly(stream, 64) == bytes([number]) * 64
        core = only_core(one.counters())
        assert core["application"]["accepted"] == 101
        assert core["net"]["bad_checksums"] == 0
        assert core["queue"]["tx_full"] == 0
        assert sum(core["loop"]["cycles"].values()) > 0
        for stream in streams:
            stream.close()
        assert one.stop() == 0, one.errors.read_text()
        core = only_core(json.loads((one.directory / "stats.json").read_text()))
        assert core["application"]["closed"] == 101


def test_nobody_listens(program: str, echo: str) -> None:
    """A port without a listener refuses."""
    with dpos(program, "--", echo, "--port=9001", f"--address={DPOS}") as one:
        one.await_ready()
        try:
            connected().close()
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("connected to a port where nobody listens")
        assert one.stop() == 0


def test_drain(program: str, echo: str) -> None:
    """After SIGTERM connections go on until they are closed; no new ones come."""
    with dpos(program, "--drain=60s", "--", echo, f"--port={PORT}", f"--address={DPOS}") as one:
        one.await_ready()
        with connected() as stream:
            stream.sendall(b"a" * 64)
            assert exactly(stream, 64) == b"a" * 64
            one.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + ANSWER_S
            while True:
                try:
                    connected().close()
                except (ConnectionRefusedError, ConnectionResetError):
                    break
                assert time.monotonic() < end, "connections are still taken"
            stream.sendall(b"b" * 64)
            assert exactly(stream, 64) == b"b" * 64
        assert one.process.wait(STOP_S) == 0, one.errors.read_text()


def test_restart(program: str, echo: str) -> None:
    """What is still open is reset at the end, and the device is there for the next one."""
    for _ in range(2):
        with dpos(program, "--drain=0", "--", echo, f"--port={PORT}", f"--address={DPOS}") as one:
            one.await_ready()
            with connected() as stream:
                stream.sendall(b"a" * 64)
                assert exactly(stream, 64) == b"a" * 64
                assert one.stop() == 0, one.errors.read_text()
                try:
                    assert stream.recv(1) != b"", "an orderly end"
                except ConnectionResetError:
                    pass


def test_l2(program: str, echo: str) -> None:
    """Without protocols: what is sent to it comes back."""
    del echo
    with dpos(program, "--stack=l2") as one:
        one.await_ready()
        netns.add_neighbour("here0", NOBODY, b"\x02\0\0\0\0\1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(ANSWER_S)
            datagrams.connect((NOBODY, 7000))
            for number in range(100):
                datagrams.send(bytes([number]) * 100)
                assert datagrams.recv(2000) == bytes([number]) * 100
        assert one.stop() == 0, one.errors.read_text()


def test_refusals(program: str, echo: str) -> None:
    """Each wrong start says what is wrong, and ends with the status of its kind."""
    for words, status, said in (
        (["--batch=65", "--", echo], 2, "1..64"),
        (["--batsch=6", "--", echo], 2, "did you mean '--batch'"),
        ([], 2, "the application is missing"),
        (["--stack=l2", "--", echo], 2, "without an application"),
        (["--", "/nowhere/rb-echo"], 1, "/nowhere/rb-echo"),
        (["--device=net_af_packet0,iface=dpos9", "--", echo], 1, "net_af_packet0"),
        (["--rss-key=12", "--", echo], 2, "80 hexadecimal digits"),
        (["--config=/nowhere/dpos.conf", "--", echo], 2, "/nowhere/dpos.conf"),
    ):
        with dpos(program, *words) as one:
            assert one.process.wait(START_S) == status, (words, one.errors.read_text())
            assert said in one.errors.read_text(), (words, one.errors.read_text())


def run(names: dict[str, Any], *programs: str) -> int:
    """Runs the tests among the names on a cable of their own. The exit status."""
    netns.enter_or_skip()
    netns.add_veth("here0", "dpos0")
    netns.set_up("here0")
    netns.set_up("dpos0")
    netns.add_address("here0", f"{HERE}/24")
    tests = [test for name, test in sorted(names.items()) if name.startswith("test_")]
    failed = 0
    for test in tests:
        begin = time.monotonic()
        try:
            test(*programs)
        except (AssertionError, LookupError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"FAILED {test.__name__}: {type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"ok     {test.__name__} {time.monotonic() - begin:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(globals(), *sys.argv[1:]))
