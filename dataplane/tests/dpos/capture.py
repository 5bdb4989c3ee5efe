# SPDX-License-Identifier: Apache-2.0
"""dpdk-dumpcap beside a running dpos: the packets of its queue, in both directions, in a file."""

from __future__ import annotations

import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import running
from running import Json, Place

_ROUNDS = 50
_SETTLE_S = 0.5
_LITTLE = 0xA1B2C3D4, 0xA1B23C4D  # libpcap's magic: microseconds, nanoseconds


def frames(data: bytes) -> Iterator[bytes]:
    """Of a file of libpcap's."""
    (magic,) = struct.unpack_from("<I", data)
    assert magic in _LITTLE, f"{magic:#x} does not begin a trace"
    at = 24
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


def capture(place: Place) -> Json:
    """Every message there and back is in the file; dpos goes on when dumpcap has gone."""
    with (
        tempfile.TemporaryDirectory() as name,
        running.dpos(place, "--capture=yes", *running.echo(place)) as one,
    ):
        trace = Path(name, "trace")
        words = ["dpdk-dumpcap", "-i", place.device, "-P", "-w", str(trace)]
        log = Path(name, "log")
        with log.open("w") as said:
            dumpcap = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + running.START_S
            while not trace.exists():
                assert dumpcap.poll() is None, f"dumpcap ended: {log.read_text()}"
                assert time.monotonic() < end, f"dumpcap wrote nothing: {log.read_text()}"
                time.sleep(0.1)
            time.sleep(_SETTLE_S)
            messages = [b"captured %08d" % number for number in range(_ROUNDS)]
            with one.connect() as stream:
                for message in messages:
                    running.ping(stream, message)
            time.sleep(_SETTLE_S)
            dumpcap.send_signal(signal.SIGINT)
            assert dumpcap.wait(running.STOP_S) == 0, log.read_text()
        finally:
            dumpcap.kill()
            dumpcap.wait()
        found = list(frames(trace.read_bytes()))
        for message in messages:
            count = sum(message in frame for frame in found)
            assert count == 2, f"{message!r} is in {count} frames of {len(found)}"
        with one.connect() as stream:
            running.ping(stream, b"as ever")
        one.until_empty()
        return {"frames": len(found)}
