# SPDX-License-Identifier: Apache-2.0
"""rbload as a user starts it, against rb-echo, rb-udp-echo, rb-spin and memcached over loopback.

Arguments: the paths of rbload, rb-echo and rb-spin, that of memcached or "absent", that of
rb-udp-echo, and the names of test cases: groups that meson runs side by side, because they mostly
wait. Only counts, bytes, errors and the form of the document are checked: how fast this machine is,
and whether the generator kept its schedule, decides nothing.
"""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RBLOAD, ECHO, SPIN, MEMCACHED, UDP_ECHO, *CASES = sys.argv[1:]
DEADLINE = 60.0
PORT_TRIES = 20


@contextmanager
def server(*argv: str) -> Iterator[int]:
    """An rb-* server on a free loopback port; yields the port."""
    command = [*argv, "--address=127.0.0.1", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready port="):
                raise AssertionError(f"{argv[0]} said {line!r} instead of being ready")
            yield int(line.removeprefix("ready port="))
        finally:
            process.terminate()
            status = process.wait(DEADLINE)
    if status != 0:
        raise AssertionError(f"{argv[0]} ended with {status}")


@contextmanager
def several_ports(*argv: str, ports: int) -> Iterator[int]:
    """The same on so many ports, and nobody at the one behind the last. Yields the first."""
    for _ in range(PORT_TRIES):
        with contextlib.ExitStack() as stack:
            try:
                first = stack.enter_context(server(*argv, f"--ports={ports}"))
                unused = stack.enter_context(socket.socket())
                unused.bind(("127.0.0.1", first + ports))
            except (AssertionError, OSError, OverflowError):
                continue  # somebody else has one of them
            yield first
            return
    raise AssertionError(f"no {ports + 1} free ports in a row, {PORT_TRIES} times")


@contextmanager
def refused_port() -> Iterator[int]:
    """A port that is taken, but at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@contextmanager
def memcached() -> Iterator[int]:
    command = [MEMCACHED, "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-m", "64", "-t", "2"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    with tempfile.TemporaryDirectory() as directory:
        chosen = Path(directory) / "port"
        env = {**os.environ, "MEMCACHED_PORT_FILENAME": str(chosen)}
        with subprocess.Popen(command, env=env) as process:
            try:
                wait_for_file(chosen)
                yield int(chosen.read_text().split()[-1])
            finally:
                process.terminate()
                process.wait(DEADLINE)


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not path.exists():
        if time.monotonic() > end:
            raise AssertionError(f"memcached did not write {path}")
        time.sleep(0.02)


def rbload(port: int, *options: str, status: int = 0) -> dict[str, Any]:
    """Runs rbload briefly and returns its document."""
    command = [RBLOAD, f"--target=127.0.0.1:{port}", "--warmup=100ms", "--duration=500ms", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode != status:
        raise AssertionError(f"rbload ended with {done.returncode}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def bucket_range(index: int, bits: int) -> tuple[int, int]:
    """Smallest and largest value of a histogram bucket, by the documented formula."""
    octave = index >> bits
    if octave == 0:
        return index, index
    low = ((index & ((1 << bits) - 1)) + (1 << bits)) << (octave - 1)
    return low, low + (1 << (octave - 1)) - 1


class Documents(unittest.TestCase):
    """What holds for every document."""

    def check_histogram(self, hist: dict[str, Any]) -> None:
        self.assertEqual(hist["unit"], "ns")
        self.assertEqual(sum(count for _, count in hist["buckets"]), hist["count"])
        if hist["count"] == 0:
            return
        low, _ = bucket_range(hist["buckets"][0][0], hist["precision_bits"])
        _, high = bucket_range(hist["buckets"][-1][0], hist["precision_bits"])
        self.assertLessEqual(low, hist["min"])
        self.assertGreaterEqual(high, hist["max"])
        self.assertTrue(math.isclose(hist["mean"], hist["sum"] / hist["count"]))
        values = list(hist["percentiles"].values())
        self.assertEqual(values, sorted(values))

    def check(self, doc: dict[str, Any], *, errors: int = 0) -> None:
        """What every document must keep."""
        self.assertEqual(doc["schema"], 1)
        self.check_histogram(doc["latency"])
        self.check_histogram(doc["adherence"]["histogram"])
        failed = sum(doc["errors"].values()) - doc["errors"]["connect"]
        self.assertEqual(failed, errors)
        self.assertEqual(doc["scheduled"], doc["completed"] + failed + doc["unfinished"])
        self.assertEqual(doc["adherence"]["on_time"] + doc["adherence"]["late"], doc["scheduled"])
        self.assertEqual(doc["latency"]["count"], doc["completed"] + doc["errors"]["timeout"])
        self.assertGreater(doc["completed"], 0)
        self.assertEqual(doc["valid"], not doc["reasons"])
        for reason in doc["reasons"]:
            self.assertIn("the generator was late", reason)
        self.assertEqual(doc["connection_events"]["aborted"], 0)
        self.assertEqual(doc["connection_events"]["lost"], 0)
        self.assertEqual(doc["connection_events"]["opened"], doc["connection_events"]["closed"])


class Echo(Documents):
    def test_echo_fixed(self) -> None:
        with server(ECHO, "--message-bytes=64") as port:
            doc = rbload(port, "--arrival=fixed", "--rate=2000", "--threads=2", "--connections=8")
        self.check(doc)
        self.assertEqual(doc["scheduled"], 1000)
        self.assertEqual(doc["bytes_sent"], 64000)
        self.assertEqual(doc["bytes_received"], 64000)
        self.assertEqual(doc["requests_total"], 1200)
        self.assertEqual(doc["connection_events"]["opened"], 8)
        self.assertEqual(doc["generator"]["timing"], "sleep")

    def test_echo_sizes_and_pipelining(self) -> None:
        for size in (1, 1000, 65536):
            with self.subTest(size=size), server(ECHO, f"--message-bytes={size}") as port:
                doc = rbload(
                    port, "--mode=closed", "--connections=2", "--depth=8", f"--message-bytes={size}"
                )
                self.check(doc)
                self.assertEqual(doc["bytes_sent"], doc["sent"] * size)
                self.assertEqual(doc["arrival"], "closed")

    def test_requests_per_connection(self) -> None:
        with server(ECHO, "--message-bytes=64") as port:
            doc = rbload(
                port, "--rate=1000", "--arrival=fixed", "--rpcs-per-connection=4", "--connections=4"
            )
        self.check(doc)
        # 600 requests in all, 4 on each connection; those that stand at the end are closed too.
        self.assertIn(doc["connection_events"]["opened"], range(150, 155))

    def test_trace(self) -> None:
        with tempfile.NamedTemporaryFile("w") as trace:
            trace.write(
                "# bursts of 5 every 10 ms\n" + "".join(f"{i * 10_000_000} 5\n" for i in range(60))
            )
            trace.flush()
            with server(ECHO, "--message-bytes=64") as port:
                doc = rbload(
                    port,
                    "--arrival=trace",
                    f"--trace={trace.name}",
                    "--trace-period=600ms",
                    "--threads=2",
                )
                short = rbload(port, "--arrival=trace", f"--trace={trace.name}", "--duration=1s")
        self.check(doc)
        self.assertEqual(doc["scheduled"], 250)
        self.assertEqual(doc["offered_rps"], 500)
        self.assertFalse(short["valid"])
        self.assertIn("the trace ended before the measured window did", short["reasons"][0])

    def test_several_sources(self) -> None:
        with server(ECHO, "--message-bytes=64") as port:
            doc = rbload(
                port,
                "--source=127.0.0.2,127.0.1.0/29",
                "--connections=6",
                "--rpcs-per-connection=10",
            )
        self.check(doc)

    def test_several_ports(self) -> None:
        with several_ports(ECHO, "--message-bytes=64", ports=3) as port:
            doc = rbload(port, "--target-ports=3", "--connections=6")
            self.check(doc)
            self.assertEqual(doc["errors"]["connect"], 0)
            # One more than there are: who is refused there goes to another one.
            doc = rbload(port, "--target-ports=4", "--connections=8", "--threads=2")
            self.check(doc)
            self.assertGreater(doc["errors"]["connect"], 0)


class Datagrams(Documents):
    def test_echo(self) -> None:
        for size in (1, 1472):
            with self.subTest(size=size), server(UDP_ECHO, "--threads=2") as port:
                doc = rbload(
                    port,
                    "--transport=udp",
                    "--arrival=fixed",
                    "--rate=2000",
                    "--connections=8",
                    f"--message-bytes={size}",
                )
                self.check(doc)
                self.assertEqual(doc["scheduled"], 1000)
                self.assertEqual(doc["bytes_received"], 1000 * size)
                self.assertEqual(doc["transport"], "udp")

    def test_closed_loop_with_new_sockets(self) -> None:
        with server(UDP_ECHO) as port:
            doc = rbload(
                port,
                "--transport=udp",
                "--mode=closed",
                "--connections=2",
                "--rpcs-per-connection=5",
            )
        self.check(doc)
        self.assertGreaterEqual(5 * doc["connection_events"]["opened"], doc["requests_total"])

    def test_silence_is_a_timeout(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            doc = rbload(
                silent.getsockname()[1],
                "--transport=udp",
                "--reply-timeout=20ms",
                "--rate=200",
                "--rundown=300ms",
            )
        self.assertEqual(doc["completed"], 0)
        self.assertEqual(doc["errors"]["timeout"], doc["scheduled"])
        self.assertGreater(doc["connection_events"]["opened"], 100)
        self.assertFalse(doc["valid"])

    def test_nobody_there(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        doc = rbload(port, "--transport=udp", "--rate=200", "--rundown=300ms")
        self.assertEqual(doc["errors"]["reset"], doc["scheduled"])


class IoUring(Documents):
    """Server and generator over io_uring; whether that is right is for its own tests to say."""

    @classmethod
    def setUpClass(cls) -> None:
        try:
            with server(ECHO, "--backend=io_uring"):
                pass
        except AssertionError as error:
            raise unittest.SkipTest(f"this machine does not permit io_uring: {error}") from None

    def test_echo(self) -> None:
        for mode in ("single", "reuseport"):
            options = ("--backend=io_uring", "--message-bytes=1000", "--threads=2")
            with self.subTest(listen=mode), server(ECHO, *options, f"--listen={mode}") as port:
                doc = rbload(
                    port,
                    "--backend=io_uring",
                    "--mode=closed",
                    "--threads=2",
                    "--connections=8",
                    "--depth=4",
                    "--message-bytes=1000",
                )
                self.check(doc)
                self.assertEqual(doc["bytes_received"], doc["completed"] * 1000)
                self.assertEqual(doc["generator"]["backend"], "io_uring")

    def test_requests_per_connection(self) -> None:
        with server(ECHO, "--backend=io_uring", "--message-bytes=64") as port:
            doc = rbload(
                port,
                "--backend=io_uring",
                "--rate=1000",
                "--arrival=fixed",
                "--rpcs-per-connection=4",
                "--connections=4",
            )
        self.check(doc)
        self.assertIn(doc["connection_events"]["opened"], range(150, 155))

    def test_datagrams(self) -> None:
        with server(UDP_ECHO) as port:
            doc = rbload(
                port, "--backend=io_uring", "--transport=udp", "--arrival=fixed", "--rate=2000"
            )
        self.check(doc)
        self.assertEqual(doc["scheduled"], 1000)


class Spin(Documents):
    def test_spin(self) -> None:
        for name in ("fixed", "exponential", "bimodal-1", "bimodal-2", "bimodal-2z", "lognormal"):
            with self.subTest(distribution=name), server(SPIN) as port:
                doc = rbload(
                    port,
                    "--protocol=spin",
                    "--rate=500",
                    f"--service-distribution={name}",
                    "--service-mean=20us",
                )
                self.check(doc)
                self.assertEqual(doc["service_time"]["distribution"], name)
        self.assertGreater(doc["latency"]["min"], 0)


class Faults(Documents):
    def test_nobody_listens(self) -> None:
        with refused_port() as port:
            doc = rbload(port, "--connect-timeout=200ms", status=3)
        self.assertFalse(doc["valid"])
        self.assertGreater(doc["errors"]["connect"], 0)
        self.assertIn("only 0 of 16 connections could be opened", doc["reasons"][0])

    def test_wrong_protocol_is_invalid(self) -> None:
        # rb-spin resets what is not a spin message.
        with server(SPIN) as port:
            doc = rbload(port, "--rate=200")
        self.assertFalse(doc["valid"])
        self.assertGreater(doc["errors"]["reset"], 0)
        self.assertEqual(doc["completed"], 0)

    def test_server_dies(self) -> None:
        with subprocess.Popen(
            [ECHO, "--address=127.0.0.1", "--port=0", "--message-bytes=64"],
            stdout=subprocess.PIPE,
            text=True,
        ) as echo:
            assert echo.stdout is not None
            port = int(echo.stdout.readline().removeprefix("ready port="))
            command = [
                RBLOAD,
                f"--target=127.0.0.1:{port}",
                "--warmup=0",
                "--duration=1s",
                "--rundown=300ms",
                "--rate=1000",
            ]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as load:
                time.sleep(0.5)
                echo.kill()
                echo.wait(DEADLINE)
                text, _ = load.communicate(timeout=DEADLINE)
        doc = json.loads(text)
        failed = sum(doc["errors"].values()) - doc["errors"]["connect"]
        self.assertGreater(failed, 0)
        self.assertGreater(doc["errors"]["connect"], 0)
        self.assertEqual(doc["scheduled"], doc["completed"] + failed)

    def test_signals(self) -> None:
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with (
                self.subTest(signal=number),
                tempfile.TemporaryDirectory() as directory,
                server(ECHO, "--message-bytes=64") as port,
            ):
                output = Path(directory) / "load.json"
                command = [
                    RBLOAD,
                    f"--target=127.0.0.1:{port}",
                    "--warmup=0",
                    "--duration=30s",
                    "-v",
                    f"--output={output}",
                ]
                with subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                ) as load:
                    assert load.stderr is not None
                    said = [next(load.stderr)]
                    while "running:" not in said[-1]:
                        said.append(next(load.stderr))
                    load.send_signal(number)
                    out, _ = load.communicate(timeout=DEADLINE)
                self.assertEqual(load.returncode, status, said)
                self.assertEqual(out, "")
                doc = json.loads(output.read_text())
                self.assertFalse(doc["valid"])
                self.assertIn(f"interrupted by signal {int(number)}", doc["reasons"][0])
                self.assertGreater(doc["completed"], 0)
                self.assertEqual([entry.name for entry in Path(directory).iterdir()], ["load.json"])

    def test_usage(self) -> None:
        done = subprocess.run(
            [RBLOAD, "--rate=fast"], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("rate", done.stderr)
        done = subprocess.run(
            [RBLOAD, "--help"], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        self.assertEqual(done.returncode, 0)
        self.assertIn("--rpcs-per-connection", done.stdout)


@unittest.skipIf(MEMCACHED == "absent", "memcached is not installed")
class Memcached(Documents):
    def test_memcached(self) -> None:
        for protocol in ("memcached-text", "memcached-binary"):
            for workload in ("etc", "usr", "fixed"):
                with self.subTest(protocol=protocol, workload=workload), memcached() as port:
                    doc = rbload(
                        port,
                        f"--protocol={protocol}",
                        f"--workload={workload}",
                        "--keys=2000",
                        "--rate=4000",
                        "--threads=2",
                        "--connections=8",
                        "--depth=2",
                        "--popularity=zipf",
                        "--get-share=0.8",
                    )
                    self.check(doc)
                    kv = doc["memcached"]
                    self.assertEqual(kv["filled"], 2000)
                    self.assertEqual(kv["misses"], 0)
                    self.assertEqual(kv["refused"], 0)
                    self.assertEqual(kv["hits"] + kv["stored"], doc["completed"])
                    self.assertEqual(doc["per_operation"]["get"]["count"], kv["hits"])
                    self.assertEqual(doc["per_operation"]["set"]["count"], kv["stored"])
                    self.check_histogram(doc["per_operation"]["get"])

    def test_memcached_misses(self) -> None:
        for protocol in ("memcached-text", "memcached-binary"):
            with self.subTest(protocol=protocol), memcached() as port:
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
