# SPDX-License-Identifier: Apache-2.0
"""A process that holds connections, as many as asked for, each asked something before and after
others have all of theirs.

    holders.py ADDRESS PORT COUNT SOURCE…

Prints "open" when all are, then "asked" when each has answered; reads a line; asks each again, and
closes them in an orderly way. Exit status: 0, or 1 with a traceback.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence

WINDOW = 128  # asked or closed at a time: no more than a queue of packets takes
TIMEOUT_S = 120.0
BIND_WITHOUT_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen by the 4-tuple


def begun(target: tuple[str, int], source: str) -> socket.socket:
    """A connection that is being opened."""
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, BIND_WITHOUT_PORT, 1)
    made.bind((source, 0))
    made.setblocking(False)
    error = made.connect_ex(target)
    assert error == errno.EINPROGRESS, os.strerror(error)
    return made


def open_all(target: tuple[str, int], sources: Sequence[str], count: int) -> list[socket.socket]:
    held: list[socket.socket] = []
    while len(held) < count:
        at, some = len(held), min(WINDOW, count - len(held))
        held += [begun(target, sources[number % len(sources)]) for number in range(at, at + some)]
        for stream in held[at:]:
            stream.settimeout(TIMEOUT_S)
            stream.send(b"")  # once it is open, or not
    return held


def windows(held: Sequence[socket.socket]) -> Iterator[list[tuple[int, socket.socket]]]:
    numbered = list(enumerate(held))
    for at in range(0, len(numbered), WINDOW):
        yield numbered[at : at + WINDOW]


def ask_all(held: Sequence[socket.socket], salt: int) -> None:
    for some in windows(held):
        for number, stream in some:
            stream.sendall(struct.pack("<II", number, salt))
        for number, stream in some:
            got = stream.recv(8, socket.MSG_WAITALL)
            assert got == struct.pack("<II", number, salt), f"{got!r} came back to {number}"


def close_all(held: Sequence[socket.socket]) -> None:
    for some in windows(held):
        for _, stream in some:
            stream.shutdown(socket.SHUT_WR)
        for number, stream in some:
            assert stream.recv(1) == b"", f"{number} did not end"
            stream.close()


def main() -> None:
    address, port, count, *sources = sys.argv[1:]
    target = address, int(port)
    held = open_all(target, sources, int(count))
    print("open", flush=True)
    ask_all(held, 1)
    print("asked", flush=True)
    sys.stdin.readline()
    ask_all(held, 2)
    close_all(held)


if __name__ == "__main__":
    main()
