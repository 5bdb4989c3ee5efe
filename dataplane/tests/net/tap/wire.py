# SPDX-License-Identifier: Apache-2.0
"""IPv4 packets with TCP segments, by hand, for the scripts of the differential test."""

from __future__ import annotations

import struct
from dataclasses import dataclass

FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128}
_MSS, _WSCALE, _SACK_OK, _SACK, _TS = 2, 3, 4, 5, 8
_NAMES = {_MSS: "mss", _WSCALE: "wscale", _SACK_OK: "sackOK", _SACK: "sack", _TS: "TS"}


@dataclass(frozen=True, kw_only=True)
class Segment:
    source: bytes
    target: bytes
    source_port: int
    target_port: int
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes = b""
    payload: bytes = b""


def mss(size: int) -> bytes:
    return struct.pack(">BBH", _MSS, 4, size)


def wscale(shift: int) -> bytes:
    return bytes((_WSCALE, 3, shift))


def sack_ok() -> bytes:
    return bytes((_SACK_OK, 2))


def timestamps(value: int, echo: int) -> bytes:
    return struct.pack(">BBII", _TS, 10, value, echo)


def sack(*blocks: tuple[int, int]) -> bytes:
    packed = b"".join(
        struct.pack(">II", left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in blocks
    )
    return bytes((_SACK, 2 + len(packed))) + packed


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build(segment: Segment) -> bytes:
    options = segment.options + b"\1" * (-len(segment.options) % 4)
    tcp = struct.pack(
        ">HHIIBBHHH",
        segment.source_port,
        segment.target_port,
        segment.seq & 0xFFFFFFFF,
        segment.ack & 0xFFFFFFFF,
        (5 + len(options) // 4) << 4,
        segment.flags,
        segment.window,
        0,
        0,
    )
    tcp += options + segment.payload
    pseudo = segment.source + segment.target + struct.pack(">HH", 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", _checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0)
    ip += segment.source + segment.target
    return ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:] + tcp


def parse(packet: bytes) -> Segment | None:
    """None: no TCP over IPv4."""
    if len(packet) < 40 or packet[0] != 0x45 or packet[9] != 6:
        return None
    end = int.from_bytes(packet[2:4])
    source_port, target_port, seq, ack, offset, flags, window = struct.unpack_from(
        ">HHIIBBH", packet, 20
    )
    payload = 20 + (offset >> 4) * 4
    return Segment(
        source=packet[12:16],
        target=packet[16:20],
        source_port=source_port,
        target_port=target_port,
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        options=packet[40:payload],
        payload=packet[payload:end],
    )


def options_of(options: bytes) -> dict[int, bytes]:
    """The options by kind, without padding."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        found[options[at]] = options[at + 2 : at + options[at + 1]]
        at += max(options[at + 1], 2)
    return found


def timestamp_of(options: bytes) -> int | None:
    value = options_of(options).get(_TS)
    return None if value is None else int.from_bytes(value[:4])


def flags_text(flags: int) -> str:
    return "".join(name for name, bit in FLAGS.items() if flags & bit) or "-"


def options_text(options: bytes, own: int) -> str:
    """By kind; what depends on the clock or on sizes of buffers is left out."""
    words = []
    for kind, value in sorted(options_of(options).items()):
        name = _NAMES.get(kind, str(kind))
        if kind == _MSS:
            name += f" {int.from_bytes(value)}"
        if kind == _SACK:
            edges = struct.unpack(f">{len(value) // 4}I", value)
            relative = [(edge - own) & 0xFFFFFFFF for edge in edges]
            blocks = zip(relative[::2], relative[1::2], strict=True)
            name += "".join(f" {left}:{right}" for left, right in blocks)
        words.append(name)
    return ",".join(words)
