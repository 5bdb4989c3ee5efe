# SPDX-License-Identifier: Apache-2.0
"""rb-kv against memcached itself: the same requests, the same bytes back.

    oracle.py RB-KV MEMCACHED [SEED [ROUNDS]]

Each round draws a sequence of requests of one protocol from its seed, good ones and wrong ones,
sends them to both servers on a new connection, as a whole, one by one, or cut at random places, and
compares all that comes back. Both servers count cas in the same way, so it is compared, too.

What is left out, because rb-kv differs on purpose:
- stats, but for some counters, and the version;
- meta commands, commands that tell memcached how to use its memory, SASL: unknown to rb-kv;
- what ends a connection or a line of keys behind replies that are not under way yet: memcached
  forgets these;
- a number that gets shorter while a reply with it is under way: memcached then stores it without
  the spaces that it pads it with otherwise, so whether it does depends on the pace of its network;
- bodies of unknown binary opcodes, of which memcached swallows too much.
"""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

DEADLINE = 10.0
KEYS = [b"a", b"key", b"k" * 16, b"n" * 31, b"z" * 250, b"tab\tkey", b"counter"]
LONG_KEY = b"x" * 251


type Server = tuple[str, int]  # address and port


@contextmanager
def rb_kv(path: str, *options: str) -> Iterator[Server]:
    command = [path, "--address=127.0.0.1", "--port=0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield "127.0.0.1", int(process.stdout.readline().removeprefix("ready port="))
        finally:
            process.terminate()
            status = process.wait(DEADLINE)
    if status != 0:
        raise AssertionError(f"rb-kv ended with {status}")


@contextmanager
def memcached(path: str, *options: str) -> Iterator[Server]:
    command = [path, "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-m", "64", "-t", "1", *options]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    with tempfile.TemporaryDirectory() as directory:
        chosen = Path(directory) / "port"
        env = {**os.environ, "MEMCACHED_PORT_FILENAME": str(chosen)}
        with subprocess.Popen(command, env=env) as process:
            try:
                end = time.monotonic() + DEADLINE
                while not chosen.exists() or not chosen.read_text().strip():
                    if time.monotonic() > end:
                        raise AssertionError("memcached does not come up")
                    time.sleep(0.02)
                yield "127.0.0.1", int(chosen.read_text().split()[-1])
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(DEADLINE)


class Draw(random.Random):
    """What requests are made of."""

    def key(self) -> bytes:
        return self.choice(KEYS)

    def value(self) -> bytes:
        kind = self.random()
        if kind < 0.3:
            return str(self.choice([5, 55, 555, 5555555555, 2**32, 2**63])).encode()
        size = self.choice([0, 1, 2, 10, 64, 511, 512, 513, 2000, 5000, 70000])
        return b"v"[:size] + self.randbytes(max(size - 1, 0))  # no number

    def flags(self) -> int:
        return self.choice([0, 0, 0, 1, 65535, 2**32 - 1])

    def expiry(self) -> int:
        return self.choice([0, 0, 0, 0, 1000, 2592000, 2592001, -1, 4000000000 - 2**31])

    def delta(self, increment: bool) -> int:
        return self.choice([0, 1, 5, 10, 10**6]) if increment else self.choice([0, 1])


def text_store(draw: Draw, verb: bytes) -> bytes:
    key, value = draw.key(), draw.value()
    flags, expiry = draw.flags(), draw.expiry()
    length, tail = len(value), b"\r\n"
    fields: list[bytes | int] = [verb, key, flags, expiry, length]
    if verb == b"cas":
        fields.append(draw.choice([1, 2, 5, 10, 20, 40, 80, draw.randrange(1, 200)]))
    if draw.random() < 0.1:
        fields.append(b"noreply")
    return (
        b" ".join(field if isinstance(field, bytes) else str(field).encode() for field in fields)
        + b"\r\n"
        + value
        + tail
    )


TEXT_WRONG = [
    b"\r\n",
    b"\n",
    b" \r\n",
    b"get\r\n",
    b"get \r\n",
    b"gets\r\n",
    b"gat\r\n",
    b"gat 0\r\n",
    b"gat x a\r\n",
    b"gat 0x a\r\n",
    b"gats -1 nothing\r\n",
    b"touch " + LONG_KEY + b" 0\r\n",
    b"incr " + LONG_KEY + b" 1\r\n",
    b"delete " + LONG_KEY + b"\r\n",
    b"set\r\n",
    b"set a\r\n",
    b"set a 0 0\r\n",
    b"set a 0 0 1 2 3\r\n",
    b"set a 0 0 x\r\n",
    b"set a x 0 1\r\n",
    b"set a -1 0 1\r\n",
    b"set a 4294967296 0 1\r\nb\r\n",
    b"set a 0 x 1\r\n",
    b"set a 0 0 -1\r\n",
    b"set a 0 0 2147483647\r\n",
    b"set " + LONG_KEY + b" 0 0 1\r\n",
    b"set a 0 0 2\r\nabc\r\n",
    b"set a 0 0 3\r\nabcde\r\n",
    b"set a 0 0 2 noreply\r\nabcd",
    b"cas a 0 0 1\r\n",
    b"cas a 0 0 1 x\r\n",
    b"cas a 0 0 1 0\r\nb\r\n",
    b"add a 0 0\r\n",
    b"replace\r\n",
    b"append a 0 0 1 2 3 4\r\n",
    b"incr a\r\n",
    b"incr a x\r\n",
    b"incr a -1\r\n",
    b"incr a 18446744073709551616\r\n",
    b"decr a 1x\r\n",
    b"incr a 1 2 3\r\n",
    b"delete\r\n",
    b"delete a 0\r\n",
    b"delete a 1\r\n",
    b"delete a 0 noreply\r\n",
    b"delete a 0 0 0\r\n",
    b"touch a\r\n",
    b"touch a x\r\n",
    b"touch a 0 noreply\r\n",
    b"verbosity\r\n",
    b"verbosity 0\r\n",
    b"verbosity x\r\n",
    b"verbosity 1 noreply\r\n",
    b"flush_all x\r\n",
    b"flush_all 0\r\n",
    b"flush_all noreply\r\n",
    b"flush_all -1\r\n",
    b"flush_all 0 0 0 0\r\n",
    b"stats nothing\r\n",
    b"nothing\r\n",
    b"x\r\n",
    b"GET a\r\n",
    b"getsx a\r\n",
    b"  get a\r\n",
    b"get  a   key \r\n",
    b"get a\n",
    b"incr  counter   1 \r\n",
    b"set a 0 0 1 noreplyx\r\nb\r\n",
    b"set  a  +1  +0  +1 \r\nb\r\n",
    b"set a 01 00 01\r\nb\r\n",
]


def text_request(draw: Draw) -> bytes:
    kind = draw.random()
    if kind < 0.35:
        verb = draw.choice(
            [b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend", b"cas"]
        )
        return text_store(draw, verb)
    if kind < 0.6:
        keys = b" ".join(draw.key() for _ in range(draw.choice([1, 1, 1, 2, 5, 40])))
        return draw.choice([b"get ", b"gets "]) + keys + b"\r\n"
    if kind < 0.65:
        return b"%s %d %s %s\r\n" % (
            draw.choice([b"gat", b"gats"]),
            draw.expiry(),
            draw.key(),
            draw.key(),
        )
    noreply = b" noreply" if draw.random() < 0.1 else b""
    if kind < 0.75:
        verb = draw.choice([b"incr", b"decr"])
        return b"%s %s %d%s\r\n" % (verb, draw.key(), draw.delta(verb == b"incr"), noreply)
    if kind < 0.8:
        return b"delete %s%s\r\n" % (draw.key(), noreply)
    if kind < 0.85:
        return b"touch %s %d%s\r\n" % (draw.key(), draw.expiry(), noreply)
    if kind < 0.86:
        return b"flush_all%s\r\n" % noreply
    return draw.choice(TEXT_WRONG)


def packet(
    opcode: int,
    *,
    extras: bytes = b"",
    key: bytes = b"",
    value: bytes = b"",
    cas: int = 0,
    opaque: int = 0,
) -> bytes:
    body = extras + key + value
    return (
        struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, cas)
        + body
    )


def binary_request(draw: Draw) -> bytes:
    opaque, cas = draw.randrange(2**32), 0
    if draw.random() < 0.15:
        cas = draw.randrange(1, 200)
    key, kind = draw.key(), draw.random()
    if kind < 0.35:
        opcode = draw.choice([0x01, 0x01, 0x02, 0x03, 0x11, 0x12, 0x13])
        extras = struct.pack(">II", draw.flags(), draw.choice([0, 0, 0, 1000, 2592001, 4000000000]))
        return packet(opcode, extras=extras, key=key, value=draw.value(), cas=cas, opaque=opaque)
    if kind < 0.42:
        return packet(
            draw.choice([0x0E, 0x0F, 0x19, 0x1A]),
            key=key,
            value=draw.value(),
            cas=cas,
            opaque=opaque,
        )
    if kind < 0.65:
        return packet(draw.choice([0x00, 0x09, 0x0C, 0x0D]), key=key, opaque=opaque)
    if kind < 0.72:
        extras = struct.pack(">I", draw.choice([0, 1000, 2592001]))
        return packet(
            draw.choice([0x1C, 0x1D, 0x1E, 0x23, 0x24]), extras=extras, key=key, opaque=opaque
        )
    if kind < 0.85:
        expiry = draw.choice([0, 0, 1000, 0xFFFFFFFF])
        opcode = draw.choice([0x05, 0x06, 0x15, 0x16])
        extras = struct.pack(
            ">QQI", draw.delta(opcode % 2 == 1), draw.choice([0, 5, 2**40]), expiry
        )
        return packet(opcode, extras=extras, key=key, cas=cas, opaque=opaque)
    if kind < 0.92:
        return packet(draw.choice([0x04, 0x14]), key=key, cas=cas, opaque=opaque)
    if kind < 0.93:
        return packet(
            draw.choice([0x08, 0x18]), extras=draw.choice([b"", b"\0\0\0\0"]), opaque=opaque
        )
    return packet(draw.choice([0x0A, 0x0A, 0x1B, 0x20, 0x40, 0xFF]), opaque=opaque)


# Each ends the connection: sent last.
BINARY_LAST = [
    packet(0x07, opaque=7),
    packet(0x17, opaque=7),
    packet(0x01, key=b"a", value=b"b"),
    packet(0x00, extras=b"1234", key=b"a"),
    packet(0x00),
    packet(0x0A, value=b"x"),
    packet(0x0B, key=b"a"),
    packet(0x05, extras=b"1", key=b"a"),
    packet(0x00, key=LONG_KEY),
    b"\x80\x00\x00\x05" + b"\0" * 25,
]
# Makes memcached forget replies, too, so it stands behind one that has come.
BAD_MAGIC = b"\x81" + b"\0" * 23
# These make memcached forget replies that are not under way yet: sent first and alone.
TEXT_ALONE = [
    b"get " + LONG_KEY + b"\r\n",
    b"gets " + LONG_KEY + b" a\r\n",
    b"get " + LONG_KEY * 100 + b" a\r\n",
    b"GET / HTTP/1.0\r\n",
]
TEXT_LAST = [b"quit\r\n", b"quit now\r\n"]


def receive(peer: socket.socket) -> bytes:
    """All until the server closes, which may be a reset if it has not read all."""
    parts = []
    with suppress(ConnectionResetError):
        while part := peer.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def pieces(draw: Draw, requests: list[bytes]) -> list[bytes]:
    kind = draw.random()
    if kind < 0.3:
        return [b"".join(requests)]
    if kind < 0.6:
        return requests
    whole = b"".join(requests)
    cut: list[bytes] = []
    most = draw.choice([3, 50, 5000])
    while whole and len(cut) < 500:
        size = draw.randint(1, most)
        cut.append(whole[:size])
        whole = whole[size:]
    return [*cut, whole]


def talk(server: Server, parts: list[bytes]) -> bytes:
    """Sends the parts without waiting; what has come back when the server has closed."""
    with socket.create_connection(server, DEADLINE) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = os.fork()
        if sender == 0:
            try:
                for part in parts:
                    peer.sendall(part)
            except OSError:
                pass
            finally:
                os._exit(0)
        try:
            return receive(peer)
        finally:
            os.kill(sender, signal.SIGKILL)
            os.waitpid(sender, 0)


def show(requests: list[bytes], ours: bytes, theirs: bytes) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    sent = "\n".join(repr(request[:120]) for request in requests)
    return (
        f"replies differ at byte {at} of {len(ours)} and {len(theirs)}\n"
        f"rb-kv:     {ours[max(0, at - 80) : at + 80]!r}\n"
        f"memcached: {theirs[max(0, at - 80) : at + 80]!r}\nafter\n{sent}"
    )


def compare(draw: Draw, servers: tuple[Server, Server], requests: list[bytes]) -> None:
    parts = pieces(draw, requests)
    ours, theirs = (talk(server, parts) for server in servers)
    if ours != theirs:
        raise AssertionError(show(requests, ours, theirs))


def one_round(draw: Draw, servers: tuple[Server, Server]) -> int:
    """One connection; returns how many requests."""
    if draw.random() < 0.5:
        requests = [text_request(draw) for _ in range(draw.randint(1, 60))]
        requests.append(draw.choice(TEXT_LAST))
    else:
        requests = [binary_request(draw) for _ in range(draw.randint(1, 60))]
        requests.append(draw.choice(BINARY_LAST))
    compare(draw, servers, requests)
    return len(requests)


def each_wrong_line(draw: Draw, servers: tuple[Server, Server]) -> None:
    for line in TEXT_WRONG:
        compare(draw, servers, [b"set a 5 0 1\r\n7\r\n", line, b"gets a\r\n", b"quit\r\n"])
    for line in TEXT_ALONE:
        compare(draw, servers, [line, b"quit\r\n"])
    for last in BINARY_LAST:
        compare(draw, servers, [packet(0x0A), last])
    for server in servers:
        with socket.create_connection(server, DEADLINE) as peer:
            peer.sendall(packet(0x0A))
            assert len(peer.recv(24, socket.MSG_WAITALL)) == 24
            peer.sendall(BAD_MAGIC)
            assert receive(peer) == b""


def arithmetic(draw: Draw, servers: tuple[Server, Server]) -> None:
    """Numbers that get shorter, wrap, stop at 0, or are none; nothing reads them before."""
    for value in (
        b"0",
        b"10",
        b"100",
        b"4294967296",
        b"18446744073709551615",
        b"18446744073709551616",
        b"",
        b"x",
        b"5 x",
        b"5x",
        b" 5",
        b"+5",
        b"-0",
        b"-5",
        b"\t7",
        b"00012",
        b"1" * 30,
    ):
        for verb in (b"incr", b"decr"):
            for delta in (0, 1, 9, 2**32 + 5, 2**64 - 1):
                store = b"set number 7 0 %d\r\n%s\r\n" % (len(value), value)
                change = b"%s number %d\r\n" % (verb, delta)
                compare(draw, servers, [store, change, change, b"gets number\r\nquit\r\n"])


def limits(draw: Draw, servers: tuple[Server, Server]) -> None:
    """Values around the largest that fit; a set that does not removes what was there."""
    for size in (1048400, 1048514, 1048515, 1048516, 1048517, 1048576, 2000000):
        value = b"v" * size
        big = b"set a 0 0 %d\r\n%s\r\n" % (size, value)
        compare(
            draw,
            servers,
            [b"set a 0 0 1\r\n1\r\n", big, b"get a\r\n", b"add a 0 0 1\r\n2\r\n", b"quit\r\n"],
        )
        extras = struct.pack(">II", 1, 0)
        store = packet(0x01, extras=extras, key=b"a", value=value)
        compare(draw, servers, [store, packet(0x00, key=b"a"), packet(0x07)])


def expiry(servers: tuple[Server, Server]) -> None:
    """Relative and absolute times pass. The clocks count seconds: one of doubt on each side."""
    now = int(time.time())
    setup = (
        b"set rel 0 2 1\r\n1\r\nset abs 0 %d 1\r\n2\r\nset stay 0 6 1\r\n3\r\n"
        b"set touched 0 100 1\r\n4\r\n" % (now + 2)
    )
    setup += b"touch touched 2\r\nset flushed 0 0 1\r\n5\r\nquit\r\n"
    ask = b"get rel abs stay touched\r\nquit\r\n"
    for server in servers:
        talk(server, [setup])
    for server in servers:
        reply = talk(server, [b"get stay\r\nquit\r\n"])
        assert reply == b"VALUE stay 0 1\r\n3\r\nEND\r\n", reply
    time.sleep(3.5)
    for server in servers:
        reply = talk(server, [ask])
        assert reply == b"VALUE stay 0 1\r\n3\r\nEND\r\n", reply
    for server in servers:
        talk(server, [b"flush_all 2\r\nquit\r\n"])
    time.sleep(3.5)
    for server in servers:
        reply = talk(server, [b"get flushed\r\nset flushed 0 0 1\r\n6\r\nget flushed\r\nquit\r\n"])
        assert reply == b"END\r\nSTORED\r\nVALUE flushed 0 1\r\n6\r\nEND\r\n", reply


COUNTERS = (
    "cmd_get",
    "get_hits",
    "get_misses",
    "delete_hits",
    "delete_misses",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "cmd_touch",
    "touch_hits",
    "touch_misses",
)


def stats(server: Server) -> dict[str, str]:
    lines = talk(server, [b"stats\r\nquit\r\n"]).decode().split("\r\n")
    assert lines[-2:] == ["END", ""], lines
    return {name: value for _, name, value in (line.split(" ", 2) for line in lines[:-2])}


def same_counts(servers: tuple[Server, Server]) -> None:
    """The counters that both have and that mean the same."""
    ours, theirs = (stats(server) for server in servers)
    for name in COUNTERS:
        if ours[name] != theirs[name]:
            raise AssertionError(f"{name} is {ours[name]}, memcached's {theirs[name]}")


def compare_all(servers: tuple[Server, Server], seed: int, rounds: int) -> int:
    """Ours and memcached, both new. Returns how many random requests there were."""
    each_wrong_line(Draw(seed), servers)
    arithmetic(Draw(seed), servers)
    limits(Draw(seed), servers)
    requests = 0
    for number in range(rounds):
        try:
            requests += one_round(Draw(f"{seed} {number}"), servers)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}, round {number}: {error}") from error
    same_counts(servers)
    expiry(servers)
    return requests


def main() -> None:
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 150
    with ExitStack() as stack:
        ours = stack.enter_context(rb_kv(sys.argv[1]))
        theirs = stack.enter_context(memcached(sys.argv[2]))
        try:
            requests = compare_all((ours, theirs), seed, rounds)
        except AssertionError as error:
            raise SystemExit(str(error)) from error
    print(f"{requests} requests on {rounds} connections, seed {seed}: the same replies")


if __name__ == "__main__":
    main()
