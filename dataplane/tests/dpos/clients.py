# SPDX-License-Identifier: Apache-2.0
"""Other people's clients against rb-http and rb-kv on dpos: curl and wrk; Debian's memcached tools;
and a client of our own that compares every byte of rb-kv's replies with memcached's.

    clients.py --program NAME=PATH… [CLIENTS…]

In a network namespace of its own. A client that is not installed is left out, and said so. Exit
status as of proofs.py.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import running
from network import Veths
from running import Place

for beside in ("net/tap", "kv"):
    sys.path.insert(0, str(Path(__file__).parent.parent / beside))
import netns  # noqa: E402  it lies beside other tests
import oracle  # noqa: E402  it too

HTTP_PORT, KV_PORT = 8080, 11211
TIMEOUT_S = 120.0
ROUNDS = 40
FILES = {"index.html": 100, "small.bin": 2000, "large.bin": 3_000_000, "sub/index.html": 5000}


def run(*words: str) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
    text = done.stdout.decode("latin-1")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {said}{text[-500:]}")
    return text


@contextlib.contextmanager
def http(place: Place) -> Iterator[tuple[str, dict[str, bytes]]]:
    """rb-http on dpos: its URL, and what it serves."""
    draw = random.Random(3)
    bodies = {name: draw.randbytes(size) for name, size in FILES.items()}
    with tempfile.TemporaryDirectory() as directory:
        for name, body in bodies.items():
            path = Path(directory, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body)
        server = (place.program("rb-http"), f"--root={directory}", f"--port={HTTP_PORT}")
        # wrk leaves with a RST, which nobody sends again when the device has no room for it.
        options = ("--memory=16m", "--idle-timeout=5s")
        with running.dpos(place, "--", *server, *options) as one:
            yield f"http://{place.address}:{HTTP_PORT}", bodies
            one.until_empty()


def curl(place: Place) -> None:
    """Whole files, a part, a condition, two over one connection, one after a redirection."""
    with http(place) as (url, bodies):

        def get(*options: str) -> str:
            return run("curl", "--silent", "--show-error", "--fail", "--max-time", "60", *options)

        for name, body in bodies.items():
            assert get(f"{url}/{name}").encode("latin-1") == body, name
        large = bodies["large.bin"]
        part = get("--range", "1000-2000999", f"{url}/large.bin")
        assert part.encode("latin-1") == large[1000:2_001_000]
        head = get("--head", f"{url}/large.bin")
        assert f"Content-Length: {len(large)}\r\n" in head
        tag = re.findall(r"^ETag: (\S+)", head, re.MULTILINE)[0]
        status = ("--output", "/dev/null", "--write-out", "%{http_code}")
        assert get(*status, "--header", f"If-None-Match: {tag}", f"{url}/large.bin") == "304"
        both = get(f"{url}/index.html", f"{url}/small.bin", "--write-out", "%{num_connects}")
        assert both.encode("latin-1") == bodies["index.html"] + b"1" + bodies["small.bin"] + b"0"
        assert get("--location", f"{url}/sub").encode("latin-1") == bodies["sub/index.html"]


def wrk(place: Place) -> None:
    """Many requests at a time, of a small file and of a large one."""
    with http(place) as (url, _):
        for name in ("small.bin", "large.bin"):
            said = run("wrk", "-t1", "-c32", "-d2s", "--timeout=30s", f"{url}/{name}")
            requests = int(re.findall(r"(\d+) requests in", said)[0])
            assert requests > 0 and "Non-2xx" not in said and "Socket errors" not in said, said


@contextlib.contextmanager
def kv(place: Place) -> Iterator[oracle.Server]:
    words = ("--", place.program("rb-kv"), f"--port={KV_PORT}", "--memory=64m")
    with running.dpos(place, *words, application=192) as one:
        yield place.address, KV_PORT
        one.until_empty()


@contextlib.contextmanager
def memcached() -> Iterator[oracle.Server]:
    path = shutil.which("memcached")
    assert path is not None
    with oracle.memcached(path) as server:
        yield server


def python_client(place: Place) -> None:
    """The oracle of tests/kv: the same bytes as memcached."""
    with kv(place) as ours, memcached() as theirs:
        oracle.compare_all((ours, theirs), 1, ROUNDS)


def memcached_tools(place: Place) -> None:
    """Debian's: values in and out; and their own suite of both protocols, with memcached's
    verdicts."""
    with kv(place) as ours, memcached() as theirs, tempfile.TemporaryDirectory() as name:
        servers = f"--servers={ours[0]}:{ours[1]}"
        value = Path(name, "value")
        value.write_bytes(random.Random(4).randbytes(100_000).replace(b"\0", b"1"))
        for option in ((), ("--binary",)):
            run("memccp", servers, *option, str(value))
            assert run("memcexist", servers, *option, "value") == ""
            got = run("memccat", servers, *option, "value").encode("latin-1")
            assert got.rstrip(b"\n") == value.read_bytes().rstrip(b"\n")
            run("memctouch", servers, *option, "--expire=100", "value")
            run("memcrm", servers, *option, "value")
            assert not succeeds("memcexist", servers, *option, "value")
        run("memcping", servers)
        assert "curr_items" in run("memcstat", servers)
        run("memcflush", servers)
        assert capable(ours) == capable(theirs)


def succeeds(*words: str) -> bool:
    done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
    return done.returncode == 0


def capable(server: oracle.Server) -> list[str]:
    """memccapable's verdicts, by test."""
    words = ("memccapable", "-h", server[0], "-p", str(server[1]), "-t", "10")
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    verdicts = re.findall(r"^(\S.*?)\s+\[(\w+)\]", done.stdout + done.stderr, re.MULTILINE)
    assert len(verdicts) > 40, done.stdout + done.stderr
    return sorted(f"{test}: {verdict}" for test, verdict in verdicts)


type Test = Callable[[Place], None]

# The program that it needs, beside ours.
CLIENTS: dict[str, tuple[str, Test]] = {
    "curl": ("curl", curl),
    "wrk": ("wrk", wrk),
    "memcached-tools": ("memccapable", memcached_tools),
    "python": ("memcached", python_client),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="CLIENTS", help=", ".join(CLIENTS))
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH")
    arguments = parser.parse_args()
    netns.enter_or_skip()
    netns.switch_on("lo")
    place = Veths(dict(word.split("=", 1) for word in arguments.program)).place
    tests: dict[str, Test] = {}
    for name in arguments.clients or CLIENTS:
        needed, test = CLIENTS[name]
        if shutil.which(needed) is None:
            print(f"left out: {name}, for there is no {needed}")
        else:
            tests[name] = test
    return running.run_all(tests, place)


if __name__ == "__main__":
    sys.exit(main())
