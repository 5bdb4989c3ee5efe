# SPDX-License-Identifier: Apache-2.0
"""What a stack or a workload wants done inside the guests, as data.

A stack driver and a workload driver return tuples of these steps; they never reach a guest
themselves. `steps.ssh` executes them over ssh. Another executor inside the guest can execute the
same steps without a network, therefore a step holds no callable, no path of the host that is not
named as such, and no time that depends on a host clock.

Paths named `path` are inside the guest. `{out}` in an argument is replaced by the trial's own
directory in the guest, which is emptied before each trial.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Write a small text file into the guest."""

    machine: str
    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run a command to its end; another status than one of `accept` fails the trial.

    deadline_s: seconds of guest time. stdout: a file below {out} that receives standard output.
    """

    machine: str
    argv: tuple[str, ...]
    deadline_s: float = 20.0
    env: tuple[tuple[str, str], ...] = ()
    stdout: str = ""
    accept: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a process that lives until its Stop; `name` is unique in the trial.

    Standard output and error go to {out}/<name>.log.
    """

    machine: str
    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """Wait until a started process is ready, failing at once when it has died.

    Exactly one of: `line` appears in the log of the process `name`, or TCP `port` accepts.
    """

    machine: str
    name: str
    line: str = ""
    port: int = 0
    deadline_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End a started process: signal, `grace_s` seconds, then KILL.

    Fails the trial when the process had already died before it was told to: a server that
    crashed under load has not been measured.
    """

    machine: str
    name: str
    signal: Literal["TERM", "INT", "KILL"] = "TERM"
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Bring a file of the guest into the trial's directory under the name `into`."""

    machine: str
    path: str
    into: str
    optional: bool = False


type Step = Put | Run | Start | WaitFor | Stop | Collect


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The steps of one trial in their order.

    setup brings the stack up, measure drives the load, teardown runs even when one of the
    others failed, so that the next trial finds a clean guest.
    """

    setup: tuple[Step, ...] = ()
    measure: tuple[Step, ...] = ()
    teardown: tuple[Step, ...] = field(default=())
