# SPDX-License-Identifier: Apache-2.0
"""Steps as POSIX shell: pure functions from data to text.

A run of steps for one machine becomes one script, so that a trial costs a few round trips and
not one per step: under emulation each costs a tenth of a second. The script reports every step
by a record on standard output, and a failed step with the end of what the command had printed.
Whatever executes the script (ssh now; a runner inside the guest needs no more than `sh`) reads
the same records. Collected files travel between the records, in base64.

Files of a process `NAME` in the trial's directory: NAME.log (output), NAME.pid, and NAME.status
(its exit status, which exists as soon as it has ended, however it ended).
"""

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from orchestrator.steps.model import Collect, Put, Run, Start, Step, Stop, WaitFor

RECORD = "@ringbed"
FILE = "@ringbed-file"
POLL_S = 0.02
KILL_GRACE_S = 5.0

# What a command inherits of 3 is closed: a server that kept it would keep the ssh channel open.
_PRELUDE = """\
exec 3>&1
say() { printf '\\n%s %s\\n' '@ringbed' "$*"; }
evidence() { [ -f "$1" ] && tail -n 20 -- "$1" | sed 's/^/  /'; }
left() { _n=$((_n - 1)); [ "$_n" -gt 0 ]; }
"""

# What a broken-off trial left running must not answer the next one. The pid is of the command;
# its group is led by the shell that notes the exit status.
_KILL_STALE = """\
for _file in "$out"/*.pid; do
[ -e "$_file" ] && [ ! -e "${_file%.pid}.status" ] || continue
_pid=$(cat "$_file")
_group=$(sed 's/^.*) //' "/proc/$_pid/stat" 2>/dev/null | cut -d' ' -f3)
[ -n "$_group" ] || continue
kill -KILL -- "-$_group" 2>/dev/null
_n=100; while kill -0 "$_pid" 2>/dev/null && left; do sleep 0.02; done
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a script says of one step. status: the command's exit status, 0 when it has none."""

    index: int
    outcome: Literal["ok", "failed"]
    status: int
    reason: str
    evidence: str


def describe(step: Step) -> str:
    """The step in a few words, for messages and logs."""
    match step:
        case Put():
            return f"write {step.path}"
        case Run():
            return f"run {_short(step.argv)}"
        case Start():
            return f"start {step.name}: {_short(step.argv)}"
        case WaitFor():
            return f"wait for {step.name} ({step.line or f'port {step.port}'})"
        case Stop():
            return f"stop {step.name}"
        case Collect():
            return f"collect {step.path}"
        case _:
            assert_never(step)


def script(
    steps: Sequence[tuple[int, Step]], out: str, *, keep_going: bool = False, fresh: bool = False
) -> str:
    """One script for the numbered steps of one machine.

    out: the trial's directory in the guest; `fresh` empties it first. With keep_going a failed
    step does not end the script: teardown must always reach its last step.
    """
    parts = [_PRELUDE, f"out={shlex.quote(out)}\ncd / && keep={int(keep_going)}\n"]
    if fresh:
        parts.append(_KILL_STALE)
        parts.append('rm -rf "$out" && mkdir -p "$out"\n')
    for index, step in steps:
        parts.append(_function(index, step, out))
        parts.append(
            f"if _why=$(step_{index}); then say {index} ok 0; else _status=$?;"
            f' say {index} failed "$_status" "${{_why:-}}"; [ "$keep" = 1 ] || exit 0; fi\n'
        )
    return "".join(parts)


def deadline(steps: Sequence[Step]) -> float:
    """Seconds after which a script of these steps cannot be alive any more."""
    total = 0.0
    for step in steps:
        match step:
            case Run() | WaitFor():
                total += step.deadline_s + KILL_GRACE_S
            case Stop():
                total += step.grace_s + KILL_GRACE_S
            case Put() | Start() | Collect():
                total += KILL_GRACE_S
            case _:
                assert_never(step)
    return total


def records(output: str) -> list[Record]:
    """The records in a script's standard output, in their order."""
    found: list[Record] = []
    lines = output.splitlines()
    for number, line in enumerate(lines):
        words = line.split(" ", 4)
        if len(words) < 4 or words[0] != RECORD:
            continue
        rest: list[str] = []
        for following in lines[number + 1 :]:
            if not following.startswith("  "):
                break
            rest.append(following[2:])
        found.append(
            Record(
                index=int(words[1]),
                outcome="ok" if words[2] == "ok" else "failed",
                status=int(words[3]),
                reason=words[4] if len(words) > 4 else "",
                evidence="\n".join(rest),
            )
        )
    return found


def files(output: str) -> dict[int, bytes]:
    """The collected files in a script's standard output, by the index of their step."""
    found = {}
    for line in output.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[0] == FILE:
            found[int(words[1])] = base64.b64decode(words[2])
    return found


def _short(argv: Sequence[str], width: int = 100) -> str:
    text = shlex.join(argv)
    return text if len(text) <= width else text[: width - 1] + "…"


def _function(index: int, step: Step, out: str) -> str:
    match step:
        case Put():
            body = _put(step, out)
        case Run():
            body = _run(index, step, out)
        case Start():
            body = _start(step, out)
        case WaitFor():
            body = _wait_for(step)
        case Stop():
            body = _stop(step)
        case Collect():
            body = _collect(index, step, out)
        case _:
            assert_never(step)
    # A subshell, so that a body may end itself with `exit` and change no state of the next.
    return f"step_{index}() (\n{body})\n"


def _quote(text: str, out: str) -> str:
    return shlex.quote(text.replace("{out}", out))


def _command(argv: Sequence[str], env: Sequence[tuple[str, str]], out: str) -> str:
    settings = [f"{name}={_quote(value, out)}" for name, value in env]
    words = [_quote(word, out) for word in argv]
    return " ".join(["env", *settings, *words] if settings else words)


def _fail(reason: str, *evidence: str) -> str:
    shown = "".join(f" evidence {file};" for file in evidence)
    return f'echo "{reason}";{shown} exit'


def _put(step: Put, out: str) -> str:
    path = _quote(step.path, out)
    return (
        f'mkdir -p "$(dirname {path})" && printf %s {shlex.quote(step.text)} >{path}.new'
        f" && chmod {step.mode:o} {path}.new && mv {path}.new {path}\n"
    )


def _run(index: int, step: Run, out: str) -> str:
    stdout = _quote(step.stdout, out) if step.stdout else f'"$out/{index}.out"'
    accepted = "|".join(str(status) for status in step.accept)
    err = f'"$out/{index}.err"'
    return (
        f"begin=$(date +%s)\ntimeout -k {KILL_GRACE_S:g} {step.deadline_s:g} "
        f"{_command(step.argv, step.env, out)} >{stdout} 2>{err} 3>&- </dev/null\n"
        f"status=$?\n"
        # 137 is also the status of a command that someone else killed; then it is no deadline.
        f'[ "$status" != 137 ] || [ $(($(date +%s) - begin)) -lt '
        f"{int(step.deadline_s + KILL_GRACE_S)} ] || status=124\n"
        f"case $status in\n"
        f"{accepted}) exit 0 ;;\n"
        f"124) {_fail(f'did not end within {step.deadline_s:g} s', err)} 124 ;;\n"
        f'*) {_fail("ended with status $status", err)} "$status" ;;\nesac\n'
    )


def _collect(index: int, step: Collect, out: str) -> str:
    path = _quote(step.path, out)
    absent = "exit 0" if step.optional else "{ echo 'is not there to be collected'; exit 1; }"
    return (
        f"[ -f {path} ] || {absent}\n"
        f"{{ printf '\\n%s %s ' '{FILE}' {index}; base64 -w0 {path}; echo; }} >&3\n"
    )


def _start(step: Start, out: str) -> str:
    # The outer shell stays to note the exit status; the inner one notes the pid and becomes the
    # command. A session of its own: a lost ssh connection must not send it SIGHUP.
    name = step.name
    inner = f'echo $$ >"$out/{name}.pid"; exec "$@"'
    outer = f'sh -c {shlex.quote(inner)} sh "$@"; echo $? >"$out/{name}.status"'
    return (
        f'[ ! -e "$out/{name}.pid" ] || {{ echo "{name} has been started already"; exit 1; }}\n'
        f'out="$out" setsid sh -c {shlex.quote(outer)} sh {_command(step.argv, step.env, out)}'
        f' >"$out/{name}.log" 2>&1 3>&- </dev/null &\n'
    )


def _wait_for(step: WaitFor) -> str:
    log, status = f'"$out/{step.name}.log"', f'"$out/{step.name}.status"'
    if bool(step.line) == bool(step.port):
        raise ValueError(f"WaitFor {step.name} needs a line or a port, and only one of them")
    if step.line:
        ready = f"grep -qF -- {shlex.quote(step.line)} {log} 2>/dev/null"
        what = "said that it is ready"
    else:
        # The kernel's table of sockets (state 0A listens): a connection made to find out would
        # be counted by the server as a client.
        entry = f": [0-9A-F]*:{step.port:04X} [0-9A-F]*:0000 0A "
        ready = f"cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q '{entry}'"
        what = f"listened on port {step.port}"
    return (
        f"_n={int(step.deadline_s / POLL_S) + 1}\n"
        f"until {ready}; do\n"
        f"[ ! -e {status} ] || {{ {_fail(f'{step.name} has died with status $(cat {status})', log)}"
        f" 1; }}\n"
        f"left || {{ {_fail(f'{step.name} has not {what} within {step.deadline_s:g} s', log)}"
        f" 124; }}\nsleep {POLL_S:g}\ndone\n"
    )


def _stop(step: Stop) -> str:
    name = step.name
    log, status = f'"$out/{name}.log"', f'"$out/{name}.status"'
    died = _fail(f"{name} had died with status $(cat {status})", log)
    stuck = _fail(f"{name} did not end within {step.grace_s:g} s of SIG{step.signal}", log)
    return (
        f'[ -e "$out/{name}.pid" ] || exit 0\n'
        f"[ ! -e {status} ] || {{ {died} 1; }}\n"
        f'pid=$(cat "$out/{name}.pid")\nkill -{step.signal} "$pid" 2>/dev/null\n'
        f"_n={int(step.grace_s / POLL_S) + 1}\n"
        f"until [ -e {status} ]; do\n"
        f'left || {{ kill -KILL "$pid"; {stuck} 124; }}\n'
        f"sleep {POLL_S:g}\ndone\n"
    )
