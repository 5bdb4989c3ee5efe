# SPDX-License-Identifier: Apache-2.0
"""No locked instruction on the path of a packet: all that the loops of policy/, and what they call
by pointer, can reach of dpos's own code is disassembled and looked through.

    locks.py DPOS

DPDK's own libraries are not looked at: pools of one producer and one consumer, and queues of one
thread, have none. Exit status: 0; 1: there is one; 77: there is no objdump.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

SKIP = 77

# Where a core begins: the loops, and what TCP/IP calls by pointer.
OPS = ("headers", "output", "release", "random", "share", "is_own")
ROOTS = ("run_ix", "run_l2", *(f"nic_{name}" for name in OPS))
# What is reached only when something has happened that no packet makes happen, or once in a while.
APART = {
    "take_requests": "somebody has asked something of the core",
    "other_calls": "calls of the gate that are not the core's own",
    "drop": "the device, or an inbox, has no room",
    "drop_segmented": "a packet that is too long",
    "get_few": "no transmit buffers are left",
    "rb_assert_failed": "ends dpos",
    "rb_assert_compare_failed": "ends dpos",
}
LOCKED = re.compile(r"\block\b|\bxchg\w*\s[^#<]*\(")
FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
CALL = re.compile(r"\b(?:call|jmp|j[a-z]{1,3})\w*\s+([0-9a-f]+)\s+<([^>+]+)")


@dataclass
class Function:
    name: str
    locked: list[str] = field(default_factory=list)
    calls: set[int] = field(default_factory=set)


def plain(name: str) -> str:
    """Without what the compiler has put behind it: .lto_priv.0, .part.0, .cold, .constprop.0."""
    return name.split(".", 1)[0]


def functions(lines: Iterator[str]) -> dict[int, Function]:
    found: dict[int, Function] = {}
    current = Function("")
    for line in lines:
        begin = FUNCTION.match(line)
        if begin:
            current = found[int(begin[1], 16)] = Function(begin[2])
            continue
        if LOCKED.search(line):
            current.locked.append(line.strip())
        call = CALL.search(line)
        if call:
            current.calls.add(int(call[1], 16))
    return found


def reached(found: dict[int, Function]) -> Iterator[Function]:
    waiting = [address for address, one in found.items() if plain(one.name) in ROOTS]
    seen = set(waiting)
    while waiting:
        one = found[waiting.pop()]
        if plain(one.name) in APART:
            continue
        yield one
        new = {address for address in one.calls if address in found} - seen
        seen |= new
        waiting += new


def main() -> int:
    (program,) = sys.argv[1:]
    if shutil.which("objdump") is None:
        print("skipped: there is no objdump", file=sys.stderr)
        return SKIP
    argv = ["objdump", "--disassemble", "--no-show-raw-insn", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as objdump:
        assert objdump.stdout is not None
        found = functions(iter(line.rstrip("\n") for line in objdump.stdout))
    names = {plain(one.name) for one in found.values()}
    missing = set(ROOTS) - names
    assert objdump.returncode == 0 and not missing, f"not in {program}: {missing}"
    assert any(one.locked for one in found.values()), "nothing at all is locked: wrongly read"
    path = list(reached(found))
    print(f"{len(path)} functions of {len(found)}")
    assert len(path) > 20, "this cannot be all"
    for one in path:
        for line in one.locked:
            print(f"{one.name}: {line}")
    return 1 if any(one.locked for one in path) else 0


if __name__ == "__main__":
    sys.exit(main())
