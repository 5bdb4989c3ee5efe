# SPDX-License-Identifier: Apache-2.0
"""rb-http as a user starts it, over loopback: raw sockets, and curl and wrk if installed.

Arguments: the path of rb-http, then names of test cases or methods, if only some are to run.
RB_HTTP_OPTIONS adds options to the server, for example "--backend=io_uring"; where this machine
does not permit those, the test is skipped.
"""

import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

HTTP, *CASES = sys.argv[1:]
DEADLINE = 60.0
BIG = 20_000_000
GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"


def content(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


FILES = {
    "/index.html": b"<p>hello</p>\n",
    "/empty": b"",
    "/small.bin": content(2048, 1),
    "/medium.bin": content(2049, 2),
    "/large.bin": content(300_000, 3),
    "/sub/index.html": b"<p>sub</p>\n",
    "/big.bin": content(BIG, 4),
}


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int, stats: Path) -> None:
        self.process = process
        self.port = port
        self.stats = stats

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        made = socket.socket()
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(DEADLINE)
        made.connect(("127.0.0.1", self.port))
        return made


@contextmanager
def server(*options: str) -> Iterator[Server]:
    extra = os.environ.get("RB_HTTP_OPTIONS", "").split()
    with tempfile.TemporaryDirectory() as directory:
        for name, body in FILES.items():
            path = Path(directory, "root", name[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        stats = Path(directory, "stats.json")
        command = [HTTP, f"--root={directory}/root", "--address=127.0.0.1", "--port=0"]
        command += [f"--stats={stats}", "--connections=512", *extra, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line.startswith("ready port="):
                    raise AssertionError(f"rb-http said {line!r} instead of being ready")
                yield Server(process, int(line.removeprefix("ready port=")), stats)
            finally:
                process.terminate()
                status = process.wait(DEADLINE)
        if status != 0:
            raise AssertionError(f"rb-http ended with {status}")


class Reader:
    """Responses from a socket, one after another."""

    def __init__(self, sock: socket.socket) -> None:
        self.file = sock.makefile("rb")

    def head(self) -> tuple[int, dict[str, str]]:
        line = self.file.readline()
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        fields = {}
        while (line := self.file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), line
            name, value = line.decode().rstrip().split(": ", 1)
            assert name.lower() not in fields, name
            fields[name.lower()] = value
        return int(status), fields

    def response(self) -> tuple[int, dict[str, str], bytes]:
        status, fields = self.head()
        length = int(fields.get("content-length", "0"))
        body = self.file.read(length)
        assert len(body) == length, f"{len(body)} of {length} bytes"
        return status, fields, body

    def at_end(self) -> bool:
        return self.file.read(1) == b""


class Bytes(unittest.TestCase):
    def test_every_file(self) -> None:
        with server() as http, http.connect() as sock:
            reader = Reader(sock)
            for name, body in FILES.items():
                sock.sendall(GET % name.encode())
                status, fields, got = reader.response()
                self.assertEqual((status, got == body), (200, True), name)
                age = time.time() - parsedate_to_datetime(fields["date"]).timestamp()
                self.assertLess(age, 10)
            for name in ("/", "/sub/"):
                sock.sendall(GET % name.encode())
                self.assertEqual(reader.response()[2], FILES[name + "index.html"])

    def test_hundred_pipelined_requests(self) -> None:
        names = random.Random(5).choices([name for name in FILES if name != "/big.bin"], k=100)
        with server() as http, http.connect() as sock:
            sock.sendall(b"".join(GET % name.encode() for name in names))
            reader = Reader(sock)
            for name in names:
                status, _, body = reader.response()
                self.assertEqual((status, body == FILES[name]), (200, True), name)
            # the same in the worst of pieces
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"".join(GET % name.encode() for name in names[:10]):
                sock.send(bytes([byte]))
            for name in names[:10]:
                self.assertEqual(reader.response()[2] == FILES[name], True, name)

    def test_ranges(self) -> None:
        chooser = random.Random(6)
        with server() as http, http.connect() as sock:
            reader = Reader(sock)
            for _ in range(200):
                name = chooser.choice(["/large.bin", "/medium.bin", "/big.bin"])
                size = len(FILES[name])
                first = chooser.randrange(size)
                last = min(size - 1, first + chooser.randrange(10000))
                request = GET[:-2] + b"Range: bytes=%d-%d\r\n\r\n"
                sock.sendall(request % (name.encode(), first, last))
                status, fields, body = reader.response()
                self.assertEqual(status, 206)
                self.assertEqual(fields["content-range"], f"bytes {first}-{last}/{size}")
                self.assertEqual(body == FILES[name][first : last + 1], True)

    def test_refused_and_closed(self) -> None:
        good = GET % b"/"
        bad = {
            400: b"GET / HTTP/1.1\nHost: test\n\n",
            411: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            413: b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            414: b"GET /" + 9000 * b"x" + b" HTTP/1.1\r\n\r\n",
            431: b"GET / HTTP/1.1\r\nX: " + 20000 * b"x" + b"\r\n\r\n",
            505: b"GET / HTTP/3.0\r\n\r\n",
        }
        with server() as http:
            for expected, request in bad.items():
                with self.subTest(status=expected), http.connect() as sock:
                    # what follows the bad request is discarded: not served, and no cause of a reset
                    sock.sendall(good + request + 100 * good)
                    reader = Reader(sock)
                    self.assertEqual(reader.response()[0], 200)
                    status, fields, _ = reader.response()
                    self.assertEqual((status, fields["connection"]), (expected, "close"))
                    self.assertTrue(reader.at_end())

    def test_drained_body(self) -> None:
        with server() as http, http.connect() as sock:
            body = (GET % b"/large.bin") * 5000
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            sock.sendall(body + GET % b"/")
            reader = Reader(sock)
            self.assertEqual(reader.response()[0], 405)
            self.assertEqual(reader.response()[2], FILES["/index.html"])

    def test_http_1_0(self) -> None:
        with server() as http, http.connect() as sock:
            sock.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
            reader = Reader(sock)
            _, fields, body = reader.response()
            self.assertEqual((fields["connection"], body == FILES["/large.bin"]), ("close", True))
            self.assertTrue(reader.at_end())

    def test_half_closed(self) -> None:
        with server() as http, http.connect() as sock:
            sock.sendall((GET % b"/big.bin") + (GET % b"/"))
            sock.shutdown(socket.SHUT_WR)
            reader = Reader(sock)
            self.assertEqual(reader.response()[2] == FILES["/big.bin"], True)
            self.assertEqual(reader.response()[2], FILES["/index.html"])
            self.assertTrue(reader.at_end())


class Clients(unittest.TestCase):
    def test_slow_reader(self) -> None:
        with server() as http, http.connect(receive_buffer=8192) as sock:
            sock.sendall(GET % b"/big.bin")
            time.sleep(0.3)
            with http.connect() as other:  # meanwhile others are served
                other.sendall(GET % b"/large.bin")
                self.assertEqual(Reader(other).response()[2] == FILES["/large.bin"], True)
            status, _, body = Reader(sock).response()
            self.assertEqual((status, body == FILES["/big.bin"]), (200, True))

    def test_those_who_never_read_cost_no_memory(self) -> None:
        requests = (GET % b"/big.bin") * 1000 + (GET % b"/small.bin") * 20000
        with server() as http:
            before = rss_bytes(http.process.pid)
            socks = [http.connect(receive_buffer=8192) for _ in range(20)]
            for sock in socks:
                sock.setblocking(False)
            end = time.monotonic() + 1
            rest = {sock: requests for sock in socks}
            while time.monotonic() < end:
                for sock in socks:
                    try:
                        rest[sock] = rest[sock][sock.send(rest[sock][:65536]) :]
                    except BlockingIOError:
                        time.sleep(0.001)
            # A connection may hold 64 KiB of heads and 64 KiB of requests that wait, and half a MiB
            # of buffers of the back-end, and a sanitizer keeps for a while what was freed; but not
            # what it asked for, which is 20 GB.
            self.assertLess(rss_bytes(http.process.pid) - before, 200 * (1 << 20))
            for sock in socks:
                sock.close()
            with http.connect() as sock:
                sock.sendall(GET % b"/")
                self.assertEqual(Reader(sock).response()[0], 200)

    def test_abrupt_ends(self) -> None:
        chooser = random.Random(7)
        with server("--threads=2", "--listen=reuseport") as http:
            for _ in range(200):
                with http.connect() as sock:
                    stream = (GET % b"/big.bin") * chooser.randrange(3) + GET % b"/large.bin"
                    sock.sendall(stream[: chooser.randrange(len(stream) + 1)])
                    if chooser.random() < 0.5:
                        sock.settimeout(0.02)
                        try:
                            sock.recv(chooser.randrange(1, 100_000))
                        except TimeoutError:
                            pass
                    if chooser.random() < 0.7:  # RST
                        linger = struct.pack("ii", 1, 0)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            with http.connect() as sock:
                sock.sendall(GET % b"/big.bin")
                self.assertEqual(Reader(sock).response()[2] == FILES["/big.bin"], True)

    def test_idle_timeout(self) -> None:
        with server("--idle-timeout=1s") as http:
            silent, partial, reading = http.connect(), http.connect(), http.connect(8192)
            with silent, partial, reading:
                partial.sendall(b"GET / HTTP/1.1\r\n")
                reading.sendall(GET[:-2] % b"/big.bin" + b"Connection: close\r\n\r\n")
                got = 0
                end = time.monotonic() + 6
                while time.monotonic() < end:  # a slow reader is not idle
                    got += len(reading.recv(8192))
                    time.sleep(0.01)
                for sock in (silent, partial):
                    self.assertEqual(sock.recv(1), b"")
                while part := reading.recv(1 << 20):
                    got += len(part)
                self.assertGreater(got, BIG)

    def test_statistics(self) -> None:
        with server("--threads=2") as http:
            with http.connect() as sock:
                sock.sendall(50 * (GET % b"/"))
                reader = Reader(sock)
                for _ in range(50):
                    reader.response()
            http.process.send_signal(signal.SIGUSR1)
            end = time.monotonic() + DEADLINE
            while not http.stats.exists() and time.monotonic() < end:
                time.sleep(0.01)
            stats = json.loads(http.stats.read_text())
        self.assertEqual(stats["app"], "http")
        self.assertEqual(sum(thread["requests"] for thread in stats["threads"]), 50)


class Usage(unittest.TestCase):
    def run_http(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [HTTP, "--port=0", *options]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    def test_errors(self) -> None:
        done = self.run_http()
        self.assertEqual(done.returncode, 2)
        self.assertIn("--root is required", done.stderr)
        done = self.run_http("--root=/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent: No such file or directory", done.stderr)
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "file").write_bytes(bytes(1025))
            done = self.run_http(f"--root={directory}", "--memory=1k")
        self.assertEqual(done.returncode, 1)
        self.assertIn("see --memory", done.stderr)


@unittest.skipUnless(shutil.which("curl"), "curl is not installed")
class Curl(unittest.TestCase):
    def curl(self, *options: str) -> bytes:
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "60", *options]
        return subprocess.run(command, stdout=subprocess.PIPE, timeout=DEADLINE, check=True).stdout

    def test_curl(self) -> None:
        with server() as http:
            url = f"http://127.0.0.1:{http.port}"
            self.assertEqual(self.curl(f"{url}/big.bin") == FILES["/big.bin"], True)
            self.assertEqual(self.curl("--location", f"{url}/sub"), FILES["/sub/index.html"])
            self.assertEqual(
                self.curl("--range", "5-9", f"{url}/large.bin"), FILES["/large.bin"][5:10]
            )
            head = self.curl("--head", f"{url}/large.bin").decode()
            self.assertIn("Content-Length: 300000\r\n", head)
            code = ("--output", "/dev/null", "--write-out", "%{http_code}")
            tag = next(line for line in head.splitlines() if line.startswith("ETag: "))[6:]
            field = f"If-None-Match: {tag}"
            self.assertEqual(self.curl(*code, "--header", field, f"{url}/large.bin"), b"304")
            both = self.curl(f"{url}/index.html", f"{url}/small.bin")  # one connection
            self.assertEqual(both, FILES["/index.html"] + FILES["/small.bin"])


@unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
class Wrk(unittest.TestCase):
    def test_wrk(self) -> None:
        with server("--threads=2") as http:
            url = f"http://127.0.0.1:{http.port}/large.bin"
            command = ["wrk", "-t1", "-c32", "-d2s", url]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=DEADLINE, check=True
            )
        self.assertIn("requests in", done.stdout)
        self.assertNotIn("Non-2xx", done.stdout)
        self.assertNotIn("Socket errors", done.stdout)


def permitted() -> bool:
    """Can the server run with the options of the environment?"""
    try:
        with server():
            return True
    except AssertionError:
        return False


if __name__ == "__main__":
    if "RB_HTTP_OPTIONS" in os.environ and not permitted():
        print("skipped: rb-http cannot run here with", os.environ["RB_HTTP_OPTIONS"])
        sys.exit(77)  # what meson takes for that
    unittest.main(argv=[sys.argv[0], *CASES], verbosity=2)
