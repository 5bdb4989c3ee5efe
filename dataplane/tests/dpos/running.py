# SPDX-License-Identifier: Apache-2.0
"""dpos on a device, this machine's TCP at the other end of a cable, and what programs do there.

A `Place` says where: a veth of a network namespace of the test's own, which DPDK drives through a
packet socket, or a NIC of a guest that was taken from Linux (guest.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

PORT = 9000
BURST = 64  # frames whose headers are at hand at most
START_S, STOP_S, ANSWER_S = 60.0, 60.0, 60.0
MIB = 1 << 20
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """device, client_device: as DPDK names them; the latter is of a second dpos at the other end.
    here: this machine's address. address, client: those of the dposes. interface: this machine's
    device. memory: dpos's words for so many MiB for the device. cpus: of the dposes.
    """

    device: str
    here: str
    address: str
    interface: str
    memory: Callable[[int], tuple[str, ...]]
    words: tuple[str, ...] = ()
    cpus: tuple[int, int] = (0, 0)
    client_device: str = ""
    client: str = ""
    programs: dict[str, str] = field(default_factory=dict)

    @property
    def copies(self) -> bool:
        """The device is an interface of this machine, which has done with a frame at once."""
        return "iface=" in self.device

    def program(self, name: str) -> str:
        """The path of one of the programs that the test was given."""
        return self.programs[name]

    def as_client(self) -> Place:
        """The other end, for a second dpos."""
        return replace(
            self, device=self.client_device, address=self.client, cpus=self.cpus[::-1], here=""
        )


class Dpos:
    """A running dpos. `directory`: where its files are. `copies`: its device has done with what is
    sent at once."""

    def __init__(self, words: list[str], directory: Path, address: str, *, copies: bool) -> None:
        self.directory = directory
        self.address = address
        self.copies = copies
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

    def core(self) -> Json:
        """The counters of its only core."""
        return only_core(self.counters())

    def saved_core(self) -> Json:
        """The same from the file that it has written at its end."""
        return only_core(json.loads((self.directory / "stats.json").read_text()))

    def connect(self, port: int = PORT, *, receive_buffer: int = 0) -> socket.socket:
        made = socket.socket()
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(ANSWER_S)
        try:
            made.connect((self.address, port))
        except BaseException:
            made.close()
            raise
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def until(self, met: Callable[[Json], bool], what: str, seconds: float = ANSWER_S) -> Json:
        """The counters of the core as soon as they are like this."""
        end = time.monotonic() + seconds
        while not met(core := self.core()):
            if time.monotonic() > end:
                raise AssertionError(f"not {what} within {seconds:.0f} s: {json.dumps(core)}")
            time.sleep(0.05)
        return core

    def until_empty(self, seconds: float = ANSWER_S) -> Json:
        """The counters once nothing of any connection is left."""
        return self.until(lambda core: not any(core["used"].values()), "without a trace", seconds)

    def until_back(self, before: Json, *, tx_descriptors: int = 1024) -> Json:
        """The same once all buffers are where they were before, too. A device gives back what it
        has sent, answers in received buffers among it, when it is given more; and there are some
        for headers to come."""
        had, most = before["buffers"], tx_descriptors + BURST

        def is_back(core: Json) -> bool:
            has = core["buffers"]
            sent = all(has[name] <= max(had[name], most) for name in ("tx", "pieces"))
            received = abs(has["rx"] - had["rx"]) <= self.keeps(tx_descriptors)
            return sent and received and not any(core["used"].values())

        return self.until(is_back, f"back at {had}")

    def keeps(self, tx_descriptors: int = 1024) -> int:
        """How many received buffers the device may have in its ring to send, as answers."""
        return 0 if self.copies else tx_descriptors

    def said(self) -> str:
        """The end of what it has said on standard error."""
        return "\n".join(self.errors.read_text().splitlines()[-20:])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextlib.contextmanager
def dpos(
    place: Place, *words: str, memory: int = 128, application: int = 64, ready: bool = True
) -> Iterator[Dpos]:
    """Started, and ended at the latest with the block. memory, application: MiB for the device and
    for the application. ready: wait for it, and demand an orderly end.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        argv = [
            place.program("dpos"),
            f"--device={place.device}",
            f"--cpus={place.cpus[0]}",
            *(f"--address={place.address}", f"--app-memory={application}m"),
            *place.memory(memory),
            *place.words,
            f"--control={directory / 'control'}",
            f"--stats={directory / 'stats.json'}",
            *words,
        ]
        one = Dpos(argv, directory, place.address, copies=place.copies)
        try:
            if ready:
                one.await_ready()
            yield one
            if ready and one.process.poll() is None and one.stop() != 0:
                raise AssertionError(f"it ended with {one.process.returncode}")
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            print(f"dpos said:\n{one.said()}", flush=True)
            if ready and one.process.poll() is None:
                print(f"its counters: {json.dumps(one.counters())}", flush=True)
            raise
        finally:
            if one.process.poll() is None:
                one.process.kill()
            one.process.wait()
            assert one.process.stdout is not None
            one.process.stdout.close()


def echo(place: Place, *options: str) -> tuple[str, ...]:
    """The words of the echo server, to be the last of dpos's."""
    program = place.program("rb-echo")
    return ("--", program, f"--port={PORT}", f"--address={place.address}", *options)


@contextlib.contextmanager
def linux_echo(place: Place) -> Iterator[None]:
    """The echo server on this machine's own TCP."""
    words = [place.program("rb-echo"), f"--port={PORT}", f"--address={place.here}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().startswith("ready")
            yield
        finally:
            process.terminate()
            process.wait(STOP_S)


def load_words(place: Place, target: str, *options: str) -> list[str]:
    return [place.program("rbload"), f"--target={target}:{PORT}", "--late-after=3600s", *options]


def load(place: Place, *options: str) -> Json:
    """A run of rbload on this machine's TCP against dpos: its document, which must be valid."""
    return finished(started_load(place, *options))


def started_load(place: Place, *options: str) -> subprocess.Popen[str]:
    words = load_words(place, place.address, *options)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Json:
    """The document of a run, in which nothing has gone wrong."""
    out, errors = process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"rbload ended with {process.returncode}: {errors}\n{out[-2000:]}")
    document: Json = json.loads(out)
    check_load(document)
    return document


def check_load(document: Json) -> None:
    """Every request was answered, with the bytes that it should be answered with."""
    wrong = {name: count for name, count in document["errors"].items() if count}
    lost = {name: document["connection_events"][name] for name in ("lost", "aborted")}
    if wrong or document["unfinished"] or not document["valid"] or any(lost.values()):
        raise AssertionError(f"errors {wrong}, {lost}, {document['reasons']}")


def only_core(counters: Json) -> Json:
    (core,) = counters["cores"]
    found: Json = core
    return found


def exactly(stream: socket.socket, count: int) -> bytes:
    """So many bytes of a stream that must not end before."""
    parts = []
    while count:
        part = stream.recv(min(1 << 18, count))
        if not part:
            raise AssertionError(f"the connection ended, {count} bytes too early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def ping(stream: socket.socket, message: bytes) -> None:
    """There and back."""
    stream.sendall(message)
    got = exactly(stream, len(message))
    assert got == message, f"{got[:40]!r} came back"


def raise_descriptors(wanted: int) -> int:
    """How many descriptors a process that this one starts may have, at most so many."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted), hard))
    return min(hard, wanted)


def first_cpu() -> int:
    return min(os.sched_getaffinity(0))


def run_all(tests: Mapping[str, Callable[[Place], None]], place: Place) -> int:
    """Says of each test whether it passed. The exit status: 1 when one has not."""
    failed = 0
    for name, test in tests.items():
        begin = time.monotonic()
        try:
            test(place)
        except (AssertionError, LookupError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"ok     {name} {time.monotonic() - begin:.1f} s")
    return 1 if failed else 0
