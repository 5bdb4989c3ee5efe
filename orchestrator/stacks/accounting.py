# SPDX-License-Identifier: Apache-2.0
"""Counts of a server: system calls by kind, packets per NAPI poll by queue, and locality.

The kernel counts them itself, with histogram triggers on trace points
(Documentation/trace/histogram.rst): nothing is copied to user space while the load runs. A
trigger costs each system call a hash-table update all the same, hence accounting has trials of
its own, whose latencies are not used.

Locality: of each connection, on which CPUs its segments came in (tcp_probe) and on which CPUs the
server read from it (tcp_rcv_space_adjust). Reads are local by the share of the connection's
segments that their CPU took in. A stack that takes the NIC away from Linux has only system calls
counted here.
"""

import json
import re
from pathlib import Path

from orchestrator.errors import StepError
from orchestrator.stacks.base import SERVER_PORT
from orchestrator.steps.model import Collect, Put, Run, Step

_TRACING = "/sys/kernel/tracing/events"
_SCRIPT = "/run/ringbed/account"

# { common_pid:        412, id: sys_epoll_wait                [232] } hitcount:         17
_SYSCALL_ROW = re.compile(
    r"\{ common_pid:\s*(\d+), id: (?:sys_)?(\w+)\s*\[\s*\d+\] \} hitcount:\s*(\d+)"
)
# { dev_name: link0, napi: ffff8881013a9010 } hitcount:  9  work:  31  budget:  576
_NAPI_ROW = re.compile(r"\{ dev_name: (\S+)\s*, napi:\s*\w+ \} hitcount:\s*(\d+)\s+work:\s*(\d+)")
# { sport:       7000, dport:      49152, common_cpu:          2 } hitcount:         17
_TCP_ROW = re.compile(
    r"\{ sport:\s*\d+, dport:\s*(\d+), (?:common_)?cpu:\s*(\d+) \} hitcount:\s*(\d+)"
)
_TABLES = ("syscalls.txt", "napi.txt", "segments.txt", "reads.txt")
# A full table of these costs the whole trial. Connections may be more than a table holds: then the
# trial has no locality, and says so.
_NEEDED = ("syscalls.txt", "napi.txt")
_DROPPED = re.compile(r"^\s*Dropped:\s*(\d+)", re.MULTILINE)

# The raw tables are kept as the kernel prints them, beside the thread ids that belong to the
# server: counts of other processes are told apart afterwards, from the raw data.
_TEXT = f"""\
#!/bin/sh
# usage: account begin | account end OUT NAME    counts system calls, NAPI polls, segments and reads
set -eu
# Always appended: opening a trigger file to overwrite it removes the triggers in it.
syscalls={_TRACING}/raw_syscalls/sys_enter
napi={_TRACING}/napi/napi_poll
segments={_TRACING}/tcp/tcp_probe
reads={_TRACING}/tcp/tcp_rcv_space_adjust
calls_trigger='hist:keys=common_pid,id.syscall:size=4096'
napi_trigger='hist:keys=dev_name,napi.hex:vals=work,budget:size=512'
tcp_trigger='hist:keys=sport,dport,common_cpu:size=16384'
# A poll that takes nothing in cleans up what was sent: no batch of packets.
batches=' if work > 0'
own=' if sport == {SERVER_PORT}'
case $1 in
begin)
    echo "$calls_trigger" >>$syscalls/trigger
    echo "$napi_trigger$batches" >>$napi/trigger
    echo "$tcp_trigger$own" >>$segments/trigger
    echo "$tcp_trigger$own" >>$reads/trigger
    ;;
end)
    out=$2 name=$3
    echo "$calls_trigger:pause" >>$syscalls/trigger
    echo "$napi_trigger:pause$batches" >>$napi/trigger
    echo "$tcp_trigger:pause$own" >>$segments/trigger
    echo "$tcp_trigger:pause$own" >>$reads/trigger
    cat $syscalls/hist >"$out/syscalls.txt"
    cat $napi/hist >"$out/napi.txt"
    cat $segments/hist >"$out/segments.txt"
    cat $reads/hist >"$out/reads.txt"
    ls "/proc/$(cat "$out/$name.pid")/task" >"$out/threads.txt"
    echo "!$calls_trigger" >>$syscalls/trigger
    echo "!$napi_trigger$batches" >>$napi/trigger
    echo "!$tcp_trigger$own" >>$segments/trigger
    echo "!$tcp_trigger$own" >>$reads/trigger
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
            for name in (*_TABLES, "threads.txt")
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


def parse_tcp(table: str) -> dict[int, dict[int, int]]:
    """Of each connection, by the client's port, how often something happened on which CPU."""
    found: dict[int, dict[int, int]] = {}
    for port, cpu, hits in _TCP_ROW.findall(table):
        of_port = found.setdefault(int(port), {})
        of_port[int(cpu)] = of_port.get(int(cpu), 0) + int(hits)
    return found


def local_reads(segments: dict[int, dict[int, int]], reads: dict[int, dict[int, int]]) -> float:
    """How many reads were made where the segments of their connection came in."""
    local = 0.0
    for port, by_cpu in reads.items():
        came = segments.get(port, {})
        whole = sum(came.values())
        local += sum(hits * came.get(cpu, 0) / whole for cpu, hits in by_cpu.items() if whole)
    return local


def summarize(directory: Path, device: str, requests: int) -> None:
    """Turn the collected tables into syscalls.json, napi.json and locality.json beside them.

    device: the server's NIC; empty when it was taken from Linux, which then has counted no packets
    and no segments. requests: how many the server answered while it was counted.
    Raises StepError when a table was full: what it does not hold was not counted.
    """
    for name in _NEEDED:
        if dropped := _dropped((directory / name).read_text()):
            raise StepError(f"{name}: the kernel's table was full and dropped {dropped} counts")
    threads = frozenset(int(word) for word in (directory / "threads.txt").read_text().split())
    calls = parse_syscalls((directory / "syscalls.txt").read_text(), threads)
    counted = {"by_syscall": calls, "total": sum(calls.values()), "requests": requests}
    _write(directory / "syscalls.json", counted)
    if device:
        _summarize_network(directory, device)


def _summarize_network(directory: Path, device: str) -> None:
    queues = parse_napi((directory / "napi.txt").read_text(), device)
    polled = {
        "polls": sum(polls for polls, _ in queues),
        "packets": sum(packets for _, packets in queues),
        "by_queue": [{"polls": polls, "packets": packets} for polls, packets in queues],
    }
    _write(directory / "napi.json", polled)
    came, read = ((directory / name).read_text() for name in ("segments.txt", "reads.txt"))
    reads = parse_tcp(read)
    whole = sum(hits for by_cpu in reads.values() for hits in by_cpu.values())
    # Datagrams have no connections.
    if whole:
        local = round(local_reads(parse_tcp(came), reads), 3)
        dropped = _dropped(came) + _dropped(read)
        counted = {"reads": whole, "local": local, "dropped": dropped}
        _write(directory / "locality.json", counted)


def _dropped(table: str) -> int:
    """Counts that the kernel had no room for."""
    return sum(int(n) for n in _DROPPED.findall(table))


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")
