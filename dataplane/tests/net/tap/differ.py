# SPDX-License-Identifier: Apache-2.0
"""Differential test: the same segments to this machine's TCP and to the library.

    differ.py LIBRINGBED_SOCKETS [--show SCRIPT]

The library runs behind its socket calls on a clock that is told; Linux behind a pair of devices
in a network namespace of its own. Each script (scripts.py) plays the peer by hand. What both
answer is normalised: numbers relative to the initial ones, options by kind (MSS and SACK with
their values), the window as zero or not; segments that carry the same bytes again are left out. A
difference must stand in differences.md, beside this file, with its reason; an unknown one fails,
and so does a line in the table that no longer is a difference. Exit status 77: there can be no
network namespace here.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import socket
import struct
import sys
import time
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import netns
import rbs
import scripts
import wire

_QUIET_S = 0.08  # longer than either side delays an acknowledgement
_ATTEMPTS = 3  # of Linux, whose answers come when the machine has time for them
_STRIDE = 1000  # between the ports of attempts
_AT_ONCE = 8
_PEER, _HOST = "10.0.0.1", "10.0.0.2"
_PEER_MAC = bytes((2, 0, 0, 0, 0, 1))
_PORT, _PEER_PORT = 5000, 30000
_SIOCGIFHWADDR = 0x8927
_TABLE = Path(__file__).with_name("differences.md")


class Socket(Protocol):
    def bind(self, address: tuple[str, int]) -> None: ...
    def listen(self, backlog: int) -> None: ...
    def recv(self, size: int) -> bytes: ...
    def send(self, data: bytes) -> int: ...
    def shutdown(self, how: int) -> None: ...
    def close(self) -> None: ...


class Target(Protocol):
    """One of the two: sockets, and packets to it and from it."""

    def socket(self) -> Socket: ...
    def accept(self, listener: Socket) -> Socket: ...
    def send(self, packet: bytes) -> None: ...
    def collect(self) -> list[bytes]: ...
    def delete(self) -> None: ...


class Library:
    """The library; its time passes only in collect()."""

    def __init__(self, path: str) -> None:
        self._now_ns = 1_000_000_000
        self._packets: list[bytes] = []
        settings = f"ip4={_HOST} receive_window=65535 seed=7"
        self._instance = rbs.Instance(path, settings, self._packets.append, self._now_ns)

    def delete(self) -> None:
        self._instance.delete()

    def socket(self) -> Socket:
        return rbs.Socket(self._instance)

    def accept(self, listener: Socket) -> Socket:
        assert isinstance(listener, rbs.Socket)
        return listener.accept()[0]

    def send(self, packet: bytes) -> None:
        self._instance.input(packet)

    def collect(self) -> list[bytes]:
        until_ns = self._now_ns + int(_QUIET_S * 1e9)
        while self._now_ns < until_ns:
            self._now_ns = min(until_ns, max(self._instance.deadline_ns(), self._now_ns + 1))
            self._instance.advance(self._now_ns)
        taken = list(self._packets)
        self._packets.clear()
        return taken


def _make_devices() -> None:
    netns.add_veth("host0", "peer0")
    netns.add_address("host0", f"{_HOST}/24")
    netns.set_up("host0")
    netns.set_up("peer0")
    netns.add_neighbour("host0", _PEER, _PEER_MAC)


class Linux:
    """This machine's TCP behind a pair of devices, with a packet socket of its own."""

    def __init__(self) -> None:
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._packets.bind(("peer0", 0x0800))
        self._packets.settimeout(_QUIET_S)
        request = struct.pack("16s16x", b"host0")
        self._mac = fcntl.ioctl(self._packets, _SIOCGIFHWADDR, request)[18:24]

    def delete(self) -> None:
        self._packets.close()

    def socket(self) -> Socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    def accept(self, listener: Socket) -> Socket:
        assert isinstance(listener, socket.socket)
        made = listener.accept()[0]
        made.setblocking(False)
        return made

    def send(self, packet: bytes) -> None:
        self._packets.send(self._mac + _PEER_MAC + b"\x08\x00" + packet)

    def collect(self) -> list[bytes]:
        taken = []
        end = time.monotonic() + _QUIET_S
        while (left := end - time.monotonic()) > 0:
            self._packets.settimeout(left)
            try:
                frame, sender = self._packets.recvfrom(65536)
            except TimeoutError:
                break
            if sender[2] != socket.PACKET_OUTGOING:
                taken.append(frame[14:])
        return taken


class Peer:
    """Plays one script to one target, and writes down what is said. See scripts.py for its use."""

    def __init__(self, target: Target, number: int) -> None:
        self._target, self._number = target, number
        self.port = _PORT + number
        self.iss = (1 << 32) - 50  # wraps in the first data
        self.irs: int | None = None
        self.window = 60000
        self.ts: int | None = None  # of the next segment; None: no timestamps
        self._ts_recent = 0
        self._nxt = 0  # relative, of the host
        self.lines: list[str] = []
        self._seen: set[tuple[int, int, int]] = set()
        self._listener: Socket | None = None
        self._socket: Socket | None = None

    # the application

    def listen(self) -> None:
        self._listener = self._target.socket()
        self._listener.bind((_HOST, self.port))
        self._listener.listen(4)

    def accept(self) -> None:
        assert self._listener is not None
        listener = self._listener

        def take() -> str:
            self._socket = self._target.accept(listener)
            return "a connection"

        self._do("accept", take)

    def write(self, size: int) -> None:
        self._on_socket(f"write {size}", lambda one: str(one.send(b"d" * size)))

    def read(self) -> None:
        self._on_socket("read", lambda one: f"{len(one.recv(1 << 20))} bytes")

    def shutdown(self) -> None:
        def act(one: Socket) -> str:
            one.shutdown(socket.SHUT_WR)
            return "done"

        self._on_socket("shutdown", act)

    def close(self) -> None:
        def act(one: Socket) -> str:
            one.close()
            return "done"

        self._on_socket("close", act)
        self._socket = None

    def end(self) -> None:
        for one in (self._socket, self._listener):
            if one is not None:
                one.close()
        self._target.collect()

    def _on_socket(self, name: str, action: Callable[[Socket], str]) -> None:
        one = self._socket
        self._do(name, (lambda: "no socket") if one is None else (lambda: action(one)))

    def _do(self, name: str, action: Callable[[], str]) -> None:
        try:
            result = action()
        except OSError as error:
            result = errno.errorcode.get(error.errno or 0, "?")
        self.lines.append(f"{name}: {result}")
        self._hear()

    # segments

    def send(
        self,
        flags: str,
        seq: int = 0,
        size: int = 0,
        ack: int | None = None,
        options: bytes = b"",
        window: int | None = None,
        port: int | None = None,
    ) -> None:
        """Numbers are relative; `ack` None is all that has come, where there is an ACK."""
        bits = sum(wire.FLAGS[name] for name in flags if name != "-")
        if self.ts is not None:
            options = wire.timestamps(self.ts, self._ts_recent) + options
        acknowledged = self._nxt if ack is None else ack
        segment = wire.Segment(
            source=socket.inet_aton(_PEER),
            target=socket.inet_aton(_HOST),
            source_port=_PEER_PORT,
            target_port=self.port if port is None else port,
            seq=self.iss + seq,
            ack=(self.irs or 0) + acknowledged if bits & wire.FLAGS["."] else 0,
            flags=bits,
            window=self.window if window is None else window,
            options=options,
            payload=b"p" * size,
        )
        self.lines.append(f"> {flags} {seq}:{seq + size}" + ("" if ack is None else f" ack {ack}"))
        self._target.send(wire.build(segment))
        self._hear()

    def wait(self, times: int) -> None:
        for _ in range(times):
            self._hear()

    def _hear(self) -> None:
        for packet in self._target.collect():
            segment = wire.parse(packet)
            ours = (self.port, scripts.NOBODY)
            if segment is not None and segment.source_port in ours:
                self._take(segment)

    def _take(self, segment: wire.Segment) -> None:
        if segment.flags & wire.FLAGS["S"] and self.irs is None:
            self.irs = segment.seq
        base = self.irs if self.irs is not None else 0
        seq = (segment.seq - base) & 0xFFFFFFFF
        size = len(segment.payload)
        end = seq + size + bool(segment.flags & 2) + bool(segment.flags & 1)
        if end > seq:
            if (seq, size, segment.flags & 3) in self._seen:
                return
            self._seen.add((seq, size, segment.flags & 3))
            if end < 1 << 31:
                self._nxt = max(self._nxt, end)
        self._ts_recent = wire.timestamp_of(segment.options) or self._ts_recent
        text = f"< {wire.flags_text(segment.flags & ~wire.FLAGS['P'])} {seq}:{seq + size}"
        if segment.flags & wire.FLAGS["."]:
            text += f" ack {(segment.ack - self.iss) & 0xFFFFFFFF}"
        if not segment.flags & wire.FLAGS["R"]:
            text += " win 0" if segment.window == 0 else ""
        options = wire.options_text(segment.options, self.iss)
        self.lines.append(text + (f" <{options}>" if options else ""))


Blocks = list[tuple[str, str]]  # each step, and what came after it


def _blocks(lines: list[str]) -> Blocks:
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("< "):
            blocks[-1][1].append(line[2:])
        elif line.startswith("> "):
            blocks.append((line[2:], []))
        else:
            name, result = line.split(": ", 1)
            blocks.append((name, [result]))
    return [(step, "; ".join(answers) or "nothing") for step, answers in blocks]


def _play(target: Target, number: int, script: scripts.Script) -> Blocks:
    peer = Peer(target, number)
    peer.listen()
    try:
        script(peer)
    finally:
        peer.end()
        target.delete()
    return _blocks(peer.lines)


Difference = tuple[str, int, str, str, str]  # script, number of the step, step, Linux, library


def _compare(name: str, linux: Blocks, library: Blocks) -> list[Difference]:
    return [
        (name, number, one[0], one[1], other[1])
        for number, (one, other) in enumerate(zip(linux, library, strict=True), 1)
        if one[1] != other[1]
    ]


def known_differences(table: Path) -> dict[Difference, str]:
    """The rows of the table, with their reasons."""
    known = {}
    for line in table.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and cells[1].isdigit():
            known[(cells[0], int(cells[1]), cells[2], cells[3], cells[4])] = cells[5]
    return known


def _row(difference: Difference) -> str:
    name, number, step, linux, library = difference
    return f"| {name} | {number} | `{step}` | `{linux}` | `{library}` | |"


def _play_both(
    library: str, number: int, name: str, script: scripts.Script, known: Container[Difference]
) -> tuple[Blocks, Blocks]:
    """What Linux says, and what the library says."""
    expected = _play(Library(library), number, script)
    for attempt in range(_ATTEMPTS):
        actual = _play(Linux(), number + attempt * _STRIDE, script)
        if all(one in known for one in _compare(name, actual, expected)):
            break
    return actual, expected


def run(library: str, show: str | None) -> int:
    known = known_differences(_TABLE)
    faults = [f"no reason given: {_row(row)}" for row, reason in known.items() if not reason]
    met: set[Difference] = set()
    played = {
        name: script for name, script in scripts.all_scripts().items() if show in (None, name)
    }
    _make_devices()
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # they wait for most of the time
        futures = {
            name: pool.submit(_play_both, library, number, name, script, known)
            for number, (name, script) in enumerate(played.items())
        }
    for name, future in futures.items():
        actual, expected = future.result()
        found = _compare(name, actual, expected)
        met.update(found)
        faults += [f"unknown: {_row(one)}" for one in found if one not in known]
        if show is not None:
            for (step, one), (_, other) in zip(actual, expected, strict=True):
                print(f"{step}\n    Linux    {one}\n    library  {other}")
    if show is None:
        faults += [f"no longer a difference: {_row(row)}" for row in known if row not in met]
    for fault in faults:
        print(fault)
    print(f"{len(played)} scripts, {len(met)} differences, {len(known)} known")
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("library", help="libringbed-sockets.so")
    parser.add_argument("--show", metavar="SCRIPT", help="play one and print all answers")
    arguments = parser.parse_args()
    netns.enter_or_skip()
    return run(arguments.library, arguments.show)


if __name__ == "__main__":
    sys.exit(main())
