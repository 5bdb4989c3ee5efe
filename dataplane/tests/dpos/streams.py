# SPDX-License-Identifier: Apache-2.0
"""Bytes there and back over several connections at once, each one compared."""

from __future__ import annotations

import random
import selectors
import socket
import time
import zlib
from collections.abc import Callable

# No multiple of any segment, buffer or ring: what is lost or repeated does not fit again.
PERIOD = 1_000_003
CHUNK = 1 << 18
IDLE_S = 120.0
_PATTERN = memoryview(random.Random(1).randbytes(PERIOD) * 2)


class Stream:
    """One connection to who returns all bytes."""

    def __init__(self, connection: socket.socket, size: int, seed: int) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._size = size
        self._phase = seed * 7919
        self._sent = self._received = 0
        self._sums = [0, 0]

    def _at(self, offset: int, count: int) -> memoryview:
        begin = (self._phase + offset) % PERIOD
        return _PATTERN[begin : begin + count]

    def send(self) -> bool:
        """False: all is sent, and so is the end."""
        part = self._at(self._sent, min(CHUNK, self._size - self._sent))
        count = self.connection.send(part)
        self._sums[0] = zlib.crc32(part[:count], self._sums[0])
        self._sent += count
        if self._sent < self._size:
            return True
        self.connection.shutdown(socket.SHUT_WR)
        return False

    def receive(self) -> bool:
        """False: all has come, and so has the end."""
        data = self.connection.recv(CHUNK)
        if not data:
            assert self._received == self._size, f"{self._received} of {self._size} bytes came back"
            assert self._sums[0] == self._sums[1], "the checksums differ"
            return False
        expected = self._at(self._received, len(data))
        assert data == expected, f"other bytes came back from {self._received} on"
        self._sums[1] = zlib.crc32(data, self._sums[1])
        self._received += len(data)
        return True


def exchange(
    connect: Callable[[], socket.socket], total: int, connections: int
) -> dict[str, float]:
    """So many bytes in each direction; returns the figures. Raises AssertionError."""
    size = -(-total // connections)
    begin = time.monotonic()
    with selectors.DefaultSelector() as selector:
        streams = [Stream(connect(), size, seed) for seed in range(connections)]
        for stream in streams:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            selector.register(stream.connection, both, stream)
        while selector.get_map():
            ready = selector.select(IDLE_S)
            assert ready, f"nothing has moved for {IDLE_S:.0f} s"
            for key, events in ready:
                _serve(selector, key, events)
    for stream in streams:
        stream.connection.close()
    seconds = time.monotonic() - begin
    return {
        "bytes_each_way": size * connections,
        "connections": connections,
        "seconds": round(seconds, 3),
        "mbit_per_s": round(size * connections * 8 / seconds / 1e6, 1),
    }


def _serve(selector: selectors.BaseSelector, key: selectors.SelectorKey, events: int) -> None:
    stream: Stream = key.data
    wanted = key.events
    if events & selectors.EVENT_WRITE and not stream.send():
        wanted &= ~selectors.EVENT_WRITE
    if events & selectors.EVENT_READ and not stream.receive():
        selector.unregister(key.fileobj)
        return
    if wanted != key.events:
        selector.modify(key.fileobj, wanted, stream)
