# SPDX-License-Identifier: Apache-2.0
"""Each pool of dpos made too small: what is short of it is counted, and goes on when there is some
again; in the end all buffers are back."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

import running
import streams
from network import Network
from running import Json, Place

_FEW = 64
# Of a stream: more than the echo server keeps of a connection, and both windows.
_SATURATING = 700_000
# The least that there may be. One is never filled; a segment of full size takes two.
_DESCRIPTORS = 32
# Of all streams, for windows that have grown to more than the descriptors take in one turn.
_LONG = 4_000_000


def exhaust(net: Network, total: int) -> Json:
    """Of connections, of received buffers, of the device's room to send."""
    return {
        "connections_refused": _connections(net.place),
        "segments_without_part": _received(net.place, total),
        "frames_without_room": _transmit(net.place, total),
    }


def _connections(place: Place) -> int:
    """One more than there are is not served, and is as soon as another one has gone."""
    words = (f"--connections={_FEW}", *running.echo(place))
    with running.dpos(place, *words) as one, contextlib.ExitStack() as stack:
        before = one.core()
        held = [stack.enter_context(one.connect()) for _ in range(_FEW)]
        for stream in held:
            running.ping(stream, b"one of all")
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex((one.address, running.PORT))
        core = one.until(_is_refused, "refusing")
        for stream in held:
            running.ping(stream, b"none was given up for it")
        for stream in held[: _FEW // 2]:
            stream.close()
        waiting.settimeout(running.ANSWER_S)
        waiting.connect_ex((one.address, running.PORT))
        running.ping(waiting, b"at last")
        stack.close()
        one.until_back(before)
        return _refused(core)


def _refused(core: Json) -> int:
    count: int = core["net"]["tcp_connections_full"]
    return count


def _is_refused(core: Json) -> bool:
    return _refused(core) > 0


def _received(place: Place, total: int) -> int:
    """Those who do not read fill all buffers that connections may hold; then they read."""
    words = (f"--rx-buffers={_FEW}", *running.echo(place))
    with running.dpos(place, *words) as one:
        before = one.core()
        sluggish = _Sluggish(one, max(total // 4, _SATURATING), 4)
        sluggish.stuff()
        sluggish.drain()
        core = one.until_empty()
        with one.connect() as stream:
            running.ping(stream, b"as ever")
        one.until_back(before)
        count: int = core["net"]["tcp_parts_full"]
        return count


class _Sluggish:
    """Connections that send for a while without reading, and get all back in the end."""

    def __init__(self, one: running.Dpos, size: int, count: int) -> None:
        self._streams = [
            streams.Stream(one.connect(receive_buffer=16384), size, seed) for seed in range(count)
        ]
        self._sending = set(self._streams)
        self._one = one

    def stuff(self) -> None:
        """Until all buffers are held, but for the quarter that is for what closes gaps, and
        segments are dropped."""
        end = time.monotonic() + running.ANSWER_S
        while True:
            self._send()
            core = self._one.core()
            held, missing = core["used"]["receive_parts"], core["net"]["tcp_parts_full"]
            if held >= _FEW - _FEW // 4 and missing > 0:
                return
            assert time.monotonic() < end, f"{held} of {_FEW} buffers are held, {missing} missed"
            time.sleep(0.01)

    def drain(self) -> None:
        end = time.monotonic() + running.ANSWER_S
        reading = set(self._streams)
        while reading:
            left = f"{len(reading)} connections have not got all back"
            assert time.monotonic() < end, f"{left}: {self._one.core()}"
            moved = self._send()
            for stream in list(reading):
                with contextlib.suppress(BlockingIOError):
                    moved = True
                    if not stream.receive():
                        reading.remove(stream)
                        stream.connection.close()
            time.sleep(0 if moved else 0.001)

    def _send(self) -> bool:
        moved = False
        for stream in list(self._sending):
            with contextlib.suppress(BlockingIOError):
                if not stream.send():
                    self._sending.remove(stream)
                moved = True
        return moved


def _transmit(place: Place, total: int) -> int:
    """Answers come faster than the device takes them. QEMU's igb takes all as soon as it is told
    to, but is told after each burst, and a burst has to find its descriptors before: one that
    needs more than there are fills the ring of the fastest device."""
    short = place
    if place.copies:
        short = replace(place, device=f"{place.device},blocksz=4096,framesz=2048,framecnt=4")
    words = (f"--tx-descriptors={_DESCRIPTORS}", f"--tx-buffers={_FEW}", *running.echo(short))
    with running.dpos(short, *words) as one:
        before = one.core()
        streams.exchange(one.connect, max(total, _LONG), 4)
        core = one.until_empty()
        count: int = core["queue"]["tx_full"]
        assert count > 0, "the device took all at once"
        with one.connect() as stream:
            running.ping(stream, b"as ever")
        one.until_back(before, tx_descriptors=_DESCRIPTORS)
        return count
