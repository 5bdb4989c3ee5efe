# SPDX-License-Identifier: Apache-2.0
"""Fabric connections into guests: strict host keys, deadlines, nothing of the user's own ssh."""

import io
import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paramiko
from fabric import Config, Connection
from invoke.exceptions import CommandTimedOut

from orchestrator.errors import MachineError, StepError
from orchestrator.process import tail
from orchestrator.vm.keys import Keys

logger = logging.getLogger(__name__)

CONNECT_S = 3.0
HANDSHAKE_S = 20.0
RETRY_S = 0.05
# What paramiko gives when a channel closed before there was an exit status: the connection was
# lost, or the command was given up at its deadline, which invoke does not notice while its timer
# thread still runs.
NO_STATUS = -1
HINT = "the console log of the machine may tell more"
SSH_ERRORS = (paramiko.SSHException, EOFError, OSError, CommandTimedOut)


def connection(keys: Keys, port: int) -> Connection:
    """A connection to the sshd behind a port of 127.0.0.1; not yet opened."""
    # paramiko logs each refused attempt with a traceback; attempts are ours to report.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    made = Connection(
        "127.0.0.1",
        user="root",
        port=port,
        connect_timeout=CONNECT_S,
        config=Config(overrides={"load_ssh_configs": False}, lazy=True),
        connect_kwargs={
            "key_filename": str(keys.user),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": HANDSHAKE_S,
            "auth_timeout": HANDSHAKE_S,
            # Otherwise a guest that hangs makes each command wait for an hour.
            "channel_timeout": HANDSHAKE_S,
        },
    )
    key = paramiko.PKey.from_path(keys.host)
    made.client.get_host_keys().add(f"[127.0.0.1]:{port}", key.get_name(), key)
    made.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Who is at the other end. check: raises MachineError when the guest is not well. console:
    its last lines, for the error about a guest that does not answer."""

    name: str
    check: Callable[[], None]
    console: Callable[[], str]

    def evidence(self, error: BaseException) -> str:
        """What ssh said, and what the guest said last."""
        console = self.console() or "(nothing)"
        return f"{str(error) or type(error).__name__}\n--- last console lines ---\n{console}"


def open_until(made: Connection, *, guest: Guest, end: float) -> None:
    """Open a connection, trying again until time.monotonic() reaches `end`.

    The guest is checked between attempts. Raises MachineError when time is over, and at once when
    the guest shows another host key or refuses ours, because neither gets better.
    """
    while True:
        guest.check()
        try:
            made.open()
            return
        except (paramiko.BadHostKeyException, paramiko.AuthenticationException) as error:
            raise MachineError(
                f"{guest.name}: ssh does not accept the guest, or the guest does not accept us",
                machine=guest.name,
                details=guest.evidence(error),
                hint="the keys have changed since the guest booted: start it again",
            ) from error
        except SSH_ERRORS as error:
            logger.debug("%s: ssh not yet: %s", guest.name, error or type(error).__name__)
            made.close()
            if time.monotonic() > end:
                raise MachineError(
                    f"{guest.name}: no answer over ssh",
                    machine=guest.name,
                    details=guest.evidence(error),
                    hint=HINT,
                ) from error
        time.sleep(RETRY_S)


def run(made: Connection, argv: Sequence[str] | str, *, guest: Guest, deadline_s: float) -> str:
    """Standard output of a command (words) or a script (text) in the guest.

    Raises StepError when it ends with another status than 0 or the connection fails; the guest is
    checked first then, so that a dead one is reported as that.
    """
    text = argv if isinstance(argv, str) else shlex.join(argv)
    try:
        result = made.run(text, hide=True, warn=True, in_stream=False, timeout=deadline_s)
    except SSH_ERRORS as error:
        raise _lost(guest, "a command did not end", text, error) from error
    if result.exited == NO_STATUS:
        silence = TimeoutError(f"no exit status within {deadline_s:g} s")
        raise _lost(guest, "a command did not end", text, silence)
    if result.exited != 0:
        raise StepError(
            f"{guest.name}: a command ended with status {result.exited}",
            machine=guest.name,
            step=text,
            details=f"$ {text}\n{tail(result.stderr or result.stdout)}",
        )
    return str(result.stdout)


def put(made: Connection, data: bytes, path: str, *, guest: Guest) -> None:
    """Write a file in the guest. Raises as `run` does."""
    try:
        made.put(io.BytesIO(data), path)
    except SSH_ERRORS as error:
        raise _lost(guest, f"{path} could not be copied in", f"put {path}", error) from error


def _lost(guest: Guest, what: str, step: str, error: Exception) -> StepError:
    guest.check()
    return StepError(
        f"{guest.name}: {what}: {str(error) or type(error).__name__}",
        machine=guest.name,
        step=step,
        details=guest.evidence(error),
        hint=HINT,
    )
