# SPDX-License-Identifier: Apache-2.0
"""Counts of a Linux server: system calls by kind, and packets per NAPI poll by queue.

The kernel counts them itself, with histogram triggers on two trace points
(Documentation/trace/histogram.rst): nothing is copied to user space while the load runs. A
trigger costs each system call a hash-table update all the same, hence accounting has trials of
its own, whose latencies are not used.
"""

from orchestrator.steps.model import Collect, Put, Run, Step

_TRACING = "/sys/kernel/tracing/events"
_SCRIPT = "/run/ringbed/account"

# The raw tables are kept as the kernel prints them, beside the thread ids that belong to the
# server: counts of other processes are told apart afterwards, from the raw data.
_TEXT = f"""\
#!/bin/sh
# usage: account begin | account end OUT NAME    counts system calls and NAPI polls
set -eu
syscalls={_TRACING}/raw_syscalls/sys_enter
napi={_TRACING}/napi/napi_poll
calls_trigger='hist:keys=common_pid,id.syscall:size=4096'
napi_trigger='hist:keys=dev_name,napi.hex:vals=work,budget:size=512'
case $1 in
begin)
    echo "$calls_trigger" >$syscalls/trigger
    echo "$napi_trigger" >$napi/trigger
    ;;
end)
    out=$2 name=$3
    echo "$calls_trigger:pause" >$syscalls/trigger
    echo "$napi_trigger:pause" >$napi/trigger
    cat $syscalls/hist >"$out/syscalls.txt"
    cat $napi/hist >"$out/napi.txt"
    ls "/proc/$(cat "$out/$name.pid")/task" >"$out/threads.txt"
    echo "!$calls_trigger" >$syscalls/trigger
    echo "!$napi_trigger" >$napi/trigger
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
