# SPDX-License-Identifier: Apache-2.0
"""Counts of a Linux server: system calls by kind, and packets per NAPI poll by queue.

The kernel counts them itself, with histogram triggers on two trace points
(Documentation/trace/histogram.rst): nothing is copied to user space while the load runs. A
trigger costs each system call a hash-table update all the same, hence accounting has trials of
its own, whose latencies are not used.
"""

import json
import re
from pathlib import Path

from orchestrator.errors import StepError
from orchestrator.steps.model import Collect, Put, Run, Step

_TRACING = "/sys/kernel/tracing/events"
_SCRIPT = "/run/ringbed/account"

# { common_pid:        412, id: sys_epoll_wait                [232] } hitcount:         17
_SYSCALL_ROW = re.compile(
    r"\{ common_pid:\s*(\d+), id: (?:sys_)?(\w+)\s*\[\s*\d+\] \} hitcount:\s*(\d+)"
)
# { dev_name: link0, napi: ffff8881013a9010 } hitcount:  9  work:  31  budget:  576
_NAPI_ROW = re.compile(r"\{ dev_name: (\S+)\s*, napi:\s*\w+ \} hitcount:\s*(\d+)\s+work:\s*(\d+)")
_DROPPED = re.compile(r"^\s*Dropped:\s*(\d+)", re.MULTILINE)

# The raw tables are kept as the kernel prints them, beside the thread ids that belong to the
# server: counts of other processes are told apart afterwards, from the raw data.
_TEXT = f"""\
#!/bin/sh
# usage: account begin | account end OUT NAME    counts system calls and NAPI polls
set -eu
# Always appended: opening a trigger file to overwrite it removes the triggers in it.
syscalls={_TRACING}/raw_syscalls/sys_enter
napi={_TRACING}/napi/napi_poll
calls_trigger='hist:keys=common_pid,id.syscall:size=4096'
napi_trigger='hist:keys=dev_name,napi.hex:vals=work,budget:size=512'
# A poll that takes nothing in cleans up what was sent: no batch of packets.
batches=' if work > 0'
case $1 in
begin)
    echo "$calls_trigger" >>$syscalls/trigger
    echo "$napi_trigger$batches" >>$napi/trigger
    ;;
end)
    out=$2 name=$3
    echo "$calls_trigger:pause" >>$syscalls/trigger
    echo "$napi_trigger:pause$batches" >>$napi/trigger
    cat $syscalls/hist >"$out/syscalls.txt"
    cat $napi/hist >"$out/napi.txt"
    ls "/proc/$(cat "$out/$name.pid")/task" >"$out/threads.txt"
    echo "!$calls_trigger" >>$syscalls/trigger
    echo "!$napi_trigger$batches" >>$napi/trigger
    ;;
esac
"""


def begin(machine: str) -> tuple[Step, ...]:
    """Start counting on a machine."""
    return (
        Put(machine=machine, path=_SCRIPT, text=_TEXT, mode=0o755),
        Run(machine=machine, argv=(_SCRIPT, "begin")),
    )


def end(machine: str, server: str) -> tuple[Step, ...]:
    """Stop counting and collect the tables; `server` is the name of the started process."""
    return (
        Run(machine=machine, argv=(_SCRIPT, "end", "{out}", server)),
        *(
            Collect(machine=machine, path=f"{{out}}/{name}", into=name)
            for name in ("syscalls.txt", "napi.txt", "threads.txt")
        ),
    )


def parse_syscalls(table: str, threads: frozenset[int]) -> dict[str, int]:
    """System calls by name that the given threads made, from the kernel's table."""
    counts: dict[str, int] = {}
    for pid, name, hits in _SYSCALL_ROW.findall(table):
        if int(pid) in threads:
            counts[name] = counts.get(name, 0) + int(hits)
    return dict(sorted(counts.items()))


def parse_napi(table: str, device: str) -> list[tuple[int, int]]:
    """(polls, packets) of each NAPI instance of a device: of each queue that was ever polled."""
    rows = _NAPI_ROW.findall(table)
    return sorted((int(polls), int(work)) for name, polls, work in rows if name == device)


def summarize(directory: Path, device: str, requests: int) -> None:
    """Turn the collected tables into syscalls.json and napi.json beside them.

    requests: how many the server answered while it was counted.
    Raises StepError when a table was full: what it does not hold was not counted.
    """
    for name in ("syscalls.txt", "napi.txt"):
        dropped = sum(int(n) for n in _DROPPED.findall((directory / name).read_text()))
        if dropped:
            raise StepError(f"{name}: the kernel's table was full and dropped {dropped} counts")
    threads = frozenset(int(word) for word in (directory / "threads.txt").read_text().split())
    calls = parse_syscalls((directory / "syscalls.txt").read_text(), threads)
    counted = {"by_syscall": calls, "total": sum(calls.values()), "requests": requests}
    (directory / "syscalls.json").write_text(json.dumps(counted, indent=1) + "\n")
    queues = parse_napi((directory / "napi.txt").read_text(), device)
    polled = {
        "polls": sum(polls for polls, _ in queues),
        "packets": sum(packets for _, packets in queues),
        "by_queue": [{"polls": polls, "packets": packets} for polls, packets in queues],
    }
    (directory / "napi.json").write_text(json.dumps(polled, indent=1) + "\n")
