# SPDX-License-Identifier: Apache-2.0
"""rb-kv as a user starts it, over loopback, and with rbload as its client.

Arguments: the paths of rb-kv and rbload, and the names of test cases.
"""

import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

RB_KV, RBLOAD, *CASES = sys.argv[1:]
DEADLINE = 60.0


@contextmanager
def server(*options: str) -> Iterator[tuple[int, int]]:
    """A server on a free loopback port; yields the port and the process id."""
    command = [RB_KV, "--address=127.0.0.1", "--port=0", *options]
    # With it, which meson sets, memory is touched that is only reserved.
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().removeprefix("ready port=")), process.pid
        finally:
            process.terminate()
            status = process.wait(DEADLINE)
    if status != 0:
        raise AssertionError(f"rb-kv ended with {status}")


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    peer = socket.socket()
    if receive_buffer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.settimeout(DEADLINE)
    peer.connect(("127.0.0.1", port))
    return peer


def receive(peer: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the server closes before."""
    got = bytearray()
    while len(got) < size and (part := peer.recv(size - len(got))):
        got += part
    return bytes(got)


def ask(peer: socket.socket, request: bytes, reply: bytes) -> None:
    peer.sendall(request)
    got = receive(peer, len(reply))
    if got != reply:
        raise AssertionError(f"{request[:60]!r} was answered by {got[:100]!r}")


def stats(port: int) -> dict[str, str]:
    with connect(port) as peer:
        peer.sendall(b"stats\r\nquit\r\n")
        text = b""
        while part := peer.recv(65536):
            text += part
    lines = text.decode().split("\r\n")[:-2]
    return {name: value for _, name, value in (line.split(" ", 2) for line in lines)}


def resident(pid: int) -> int:
    """Bytes of memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Connections(unittest.TestCase):
    def test_slow_reader(self) -> None:
        """Who asks for 400 MB and does not read makes neither memory grow nor others wait."""
        value = random.Random(1).randbytes(100_000)
        with server() as (port, pid), connect(port) as other:
            with connect(port, receive_buffer=4096) as slow:
                ask(slow, b"set k 0 0 100000\r\n" + value + b"\r\n", b"STORED\r\n")
                before = resident(pid)
                slow.setblocking(False)
                asked = 0
                with suppress(BlockingIOError):
                    while asked < 4000:
                        slow.send(b"get k\r\n")
                        asked += 1
                slow.settimeout(DEADLINE)
                for _ in range(100):
                    ask(other, b"get x\r\n", b"END\r\n")
                self.assertLess(resident(pid) - before, 80 << 20)
                # Its value stays what it was, although it is replaced.
                ask(other, b"set k 0 0 1\r\n1\r\n", b"STORED\r\n")
                expected = b"VALUE k 0 100000\r\n" + value + b"\r\nEND\r\n"
                first = receive(slow, len(expected))
                self.assertEqual(first, expected)
                short = b"VALUE k 0 1\r\n1\r\nEND\r\n"
                # Not `quit`: on a busy machine the rest may take longer than a close may.
                slow.sendall(b"version\r\n")
                got = bytearray()
                while b"VERSION" not in got[-64:]:
                    part = slow.recv(1 << 20)
                    self.assertGreater(len(part), 0)
                    got += part
                rest = bytes(got).partition(b"VERSION")[0]
                many = rest.count(expected)
                self.assertEqual(rest, expected * many + short * (asked - 1 - many))
                self.assertGreater(many, 0)
            ask(other, b"get k\r\n", short)

    def test_large_pipelines(self) -> None:
        """Every burst of requests has its replies, in order, however large."""
        with server() as (port, _), connect(port) as peer:
            for count in (1, 10, 100, 1000, 20000):
                request = b"".join(
                    b"set k%d 0 0 5\r\n%05d\r\nget k%d\r\n" % (i, i, i) for i in range(count)
                )
                reply = b"".join(
                    b"STORED\r\nVALUE k%d 0 5\r\n%05d\r\nEND\r\n" % (i, i) for i in range(count)
                )
                sender = threading.Thread(target=peer.sendall, args=(request,))
                sender.start()
                self.assertEqual(receive(peer, len(reply)), reply)
                sender.join()

    def test_abrupt_ends(self) -> None:
        """In the midst of a line, a value, a reply: with FIN and with RST."""
        with server("--connections=20") as (port, _):
            with connect(port) as peer:
                ask(peer, b"set k 0 0 100000\r\n" + b"k" * 100000 + b"\r\n", b"STORED\r\n")
            for begun in (
                b"",
                b"ge",
                b"get k",
                b"set a 0 0 100",
                b"set a 0 0 100000\r\nxxx",
                b"get k\r\n" * 100,
                b"\x80",
            ):
                for reset in (False, True):
                    for _ in range(20):
                        with connect(port) as peer:
                            peer.sendall(begun)
                            if reset:
                                linger = struct.pack("ii", 1, 0)
                                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end = time.monotonic() + DEADLINE
            while int((now := stats(port))["curr_connections"]) > 1:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            self.assertEqual(now["curr_items"], "1")
            with connect(port) as peer:
                ask(peer, b"get a\r\n", b"END\r\n")

    def test_half_close(self) -> None:
        with server() as (port, _), connect(port) as peer:
            peer.sendall(b"set a 0 0 1\r\n1\r\nget a\r\nget unfinished")
            peer.shutdown(socket.SHUT_WR)
            reply = b""
            while part := peer.recv(100):
                reply += part
            self.assertEqual(reply, b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n")

    def test_memory_bound(self) -> None:
        """Ten times more than fits: the newest are there, and memory is not past the bound."""
        with server("--memory=32m") as (port, pid), connect(port) as peer:
            value = b"v" * 10000
            for i in range(32 * 1024):
                request = b"set key%d 0 0 10000 noreply\r\n%s\r\n" % (i, value)
                peer.sendall(request)
            ask(
                peer,
                b"get key32767 key0\r\n",
                b"VALUE key32767 0 10000\r\n" + value + b"\r\nEND\r\n",
            )
            self.assertLess(resident(pid), (32 + 96) << 20)  # and not 320
            now = stats(port)
            self.assertLess(int(now["bytes"]), 32 << 20)
            self.assertGreater(int(now["bytes"]), 25 << 20)
            self.assertEqual(int(now["evictions"]) + int(now["curr_items"]), 32 * 1024)

    def test_expiry(self) -> None:
        with server() as (port, _), connect(port) as peer:
            ask(peer, b"set a 0 1 1\r\n1\r\n", b"STORED\r\n")
            time.sleep(2.2)
            ask(peer, b"get a\r\n", b"END\r\n")

    def test_statistics_file(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "server.json"
            with server("--threads=2", f"--stats={path}") as (port, pid), connect(port) as peer:
                for _ in range(10):
                    ask(peer, b"get a\r\n", b"END\r\n")
                os.kill(pid, signal.SIGUSR1)
                end = time.monotonic() + DEADLINE
                while not path.exists():
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.01)
                doc = json.loads(path.read_text())
                self.assertEqual(doc["app"], "kv")
                self.assertEqual(sum(thread["requests"] for thread in doc["threads"]), 10)
            doc = json.loads(path.read_text())
            self.assertEqual(sum(thread["bytes_in"] for thread in doc["threads"]), 70)
            self.assertEqual(sum(thread["bytes_out"] for thread in doc["threads"]), 50)
            # a request and its reply: no more system calls than rb-echo has
            calls = sum(thread["syscalls"]["recvfrom"] for thread in doc["threads"])
            self.assertLessEqual(calls, 12)

    def test_usage(self) -> None:
        done = subprocess.run(
            [RB_KV, "--memory=1"], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("memory", done.stderr)
        command = [RB_KV, "--memory=1m", "--port=0"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot take 1048576 bytes", done.stderr)


def hammer(port: int, seed: int, failures: list[str]) -> None:
    """Adds to a counter that all share; stores, reads and removes keys that all share."""
    draw = random.Random(seed)
    try:
        with connect(port) as peer:
            for _ in range(60):
                for _ in range(10):
                    peer.sendall(b"incr counter 1\r\n")
                    while not peer.recv(100).endswith(b"\r\n"):
                        pass
                key, size = draw.randrange(8), draw.choice([10, 500, 600, 30000])
                fill = b"%d" % draw.randrange(10) * size
                ask(peer, b"set shared%d 0 0 %d\r\n%s\r\n" % (key, size, fill), b"STORED\r\n")
                peer.sendall(b"delete shared%d noreply\r\n" % draw.randrange(8))
                peer.sendall(b"get shared%d\r\n" % draw.randrange(8))
                reply = b""
                while not reply.endswith(b"END\r\n"):
                    reply += peer.recv(1 << 20)
                lines = reply.split(b"\r\n")
                if reply != b"END\r\n" and len(set(lines[1])) != 1:
                    raise AssertionError("a value that nobody has stored")
    except (AssertionError, OSError) as error:
        failures.append(f"seed {seed}: {error!r}")


class Threads(unittest.TestCase):
    def test_shared_keys(self) -> None:
        for listen, memory in (("single", "64m"), ("reuseport", "64m"), ("single", "512m")):
            options = "--threads=3", f"--listen={listen}", f"--memory={memory}"
            with self.subTest(options=options), server(*options) as (port, _):
                with connect(port) as peer:
                    ask(peer, b"set counter 0 0 1\r\n0\r\n", b"STORED\r\n")
                failures: list[str] = []
                peers = [
                    threading.Thread(target=hammer, args=(port, i, failures)) for i in range(12)
                ]
                for one in peers:
                    one.start()
                for one in peers:
                    one.join()
                self.assertEqual(failures, [])
                with connect(port) as peer:
                    ask(peer, b"get counter\r\n", b"VALUE counter 0 4\r\n7200\r\nEND\r\n")
                now = stats(port)
                self.assertEqual(now["incr_hits"], "7200")
                self.assertEqual(now["threads"], "3")


def rbload(port: int, *options: str) -> dict[str, Any]:
    """Runs rbload briefly and returns its document."""
    command = [RBLOAD, f"--target=127.0.0.1:{port}", "--warmup=100ms", "--duration=500ms", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode != 0:
        raise AssertionError(f"rbload ended with {done.returncode}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class Load(unittest.TestCase):
    """rbload checks every byte of every reply."""

    def check(self, doc: dict[str, Any]) -> None:
        self.assertEqual(sum(doc["errors"].values()), 0)
        self.assertEqual(doc["unfinished"], 0)
        self.assertEqual(doc["scheduled"], doc["completed"])
        self.assertEqual(doc["connection_events"]["aborted"], 0)
        self.assertEqual(doc["connection_events"]["lost"], 0)

    def test_workloads(self) -> None:
        for protocol in ("memcached-text", "memcached-binary"):
            for workload in ("etc", "usr", "fixed"):
                with (
                    self.subTest(protocol=protocol, workload=workload),
                    server("--threads=2") as (port, _),
                ):
                    doc = rbload(
                        port,
                        f"--protocol={protocol}",
                        f"--workload={workload}",
                        "--keys=2000",
                        "--rate=4000",
                        "--connections=8",
                        "--depth=2",
                        "--popularity=zipf",
                        "--get-share=0.8",
                    )
                    self.check(doc)
                    kv = doc["memcached"]
                    self.assertEqual(kv["filled"], 2000)
                    self.assertEqual((kv["misses"], kv["refused"]), (0, 0))
                    self.assertEqual(kv["hits"] + kv["stored"], doc["completed"])

    def test_misses_on_short_connections(self) -> None:
        for protocol in ("memcached-text", "memcached-binary"):
            with self.subTest(protocol=protocol), server() as (port, _):
                doc = rbload(
                    port,
                    f"--protocol={protocol}",
                    "--fill=no",
                    "--get-share=1",
                    "--rpcs-per-connection=10",
                )
                self.check(doc)
                self.assertEqual(doc["memcached"]["misses"], doc["completed"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *CASES], verbosity=2)
