# SPDX-License-Identifier: Apache-2.0
"""SYN segments from addresses at which nobody is, many at a time."""

from __future__ import annotations

import ctypes
import random
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "net" / "tap"))
import wire  # noqa: E402  it lies beside other tests

# RFC 2544: for tests, never anybody's.
_SOURCES = bytes((198, 18))
_DIFFERENT, _BATCH = 4096, 32


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


def neighbour(address: str) -> bytes:
    """The hardware address that this machine has learnt."""
    for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
        words = line.split()
        if words[0] == address:
            return bytes.fromhex(words[3].replace(":", ""))
    raise AssertionError(f"{address} is no neighbour")


def _frames(target: str, port: int) -> list[bytes]:
    draw = random.Random(2)
    ethernet = neighbour(target) + b"\2\0\0\0\0\1" + b"\x08\0"
    return [
        ethernet
        + wire.build(
            wire.Segment(
                source=_SOURCES + draw.randbytes(2),
                target=socket.inet_aton(target),
                source_port=draw.randrange(1024, 65536),
                target_port=port,
                seq=draw.getrandbits(32),
                ack=0,
                flags=wire.FLAGS["S"],
                window=64240,
                options=wire.mss(1460) + wire.sack_ok() + b"\1\1" + b"\1" + wire.wscale(7),
            )
        )
        for _ in range(_DIFFERENT)
    ]


class Flood:
    """Sends `rate` SYNs a second through a device, as a context; `sent` and `seconds` tell
    afterwards what it came to."""

    def __init__(self, interface: str, target: str, port: int, rate: float) -> None:
        self._rate = rate
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((interface, 0))
        self._frames = _frames(target, port)
        vectors = (_Vector * _DIFFERENT)(*(_Vector(frame, len(frame)) for frame in self._frames))
        self._messages = (_Message * _DIFFERENT)()
        for message, vector in zip(self._messages, vectors, strict=True):
            message.header.vectors = ctypes.pointer(vector)
            message.header.vectors_count = 1
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.seconds = 0.0

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        size = ctypes.sizeof(_Message)
        begin = time.monotonic()
        while not self._ended.is_set():
            at = self.sent % _DIFFERENT // _BATCH * _BATCH
            place = ctypes.byref(self._messages, at * size)
            # A full queue of the device loses some, as any queue on the way may.
            self.sent += max(0, self._send(self._socket.fileno(), place, _BATCH, 0))
            ahead = self.sent / self._rate - (time.monotonic() - begin)
            if ahead > 0.001:
                time.sleep(ahead)
        self.seconds = time.monotonic() - begin
