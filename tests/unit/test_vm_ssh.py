# SPDX-License-Identifier: Apache-2.0
"""A guest that does not answer is told with the last lines of its console."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fabric import Connection, Result

from orchestrator.errors import MachineError, StepError
from orchestrator.vm import ssh
from orchestrator.vm.keys import guest_keys


def well() -> None: ...


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Connection]:
    """A connection to a port that refuses it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield ssh.connection(guest_keys(tmp_path), taken.getsockname()[1])


GUEST = ssh.Guest(name="server", check=well, console=lambda: "one\nBUG: soft lockup")


def test_no_connection_is_told_with_the_console(silent: Connection) -> None:
    with pytest.raises(MachineError, match="server: no answer over ssh") as caught:
        ssh.open_until(silent, guest=GUEST, end=time.monotonic() - 1)
    assert caught.value.details.endswith("--- last console lines ---\none\nBUG: soft lockup")


def test_a_lost_command_and_a_lost_copy_are_told_with_the_console(silent: Connection) -> None:
    with pytest.raises(StepError, match="server: a command did not end") as command:
        ssh.run(silent, ["true"], guest=GUEST, deadline_s=5)
    with pytest.raises(StepError, match="server: /x could not be copied in") as copy:
        ssh.put(silent, b"x", "/x", guest=GUEST)
    assert "soft lockup" in command.value.details
    assert "soft lockup" in copy.value.details


def test_a_dead_guest_is_reported_as_dead(silent: Connection) -> None:
    def dead() -> None:
        raise MachineError("server: the guest ended by itself")

    gone = ssh.Guest(name="server", check=dead, console=lambda: "")
    with pytest.raises(MachineError, match="ended by itself"):
        ssh.run(silent, ["true"], guest=gone, deadline_s=5)


def test_a_channel_that_closes_without_a_status_is_no_failed_command(
    silent: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Connection, "run", lambda *_, **__: Result(connection=silent, exited=ssh.NO_STATUS)
    )
    with pytest.raises(StepError, match="server: a command did not end: no exit status"):
        ssh.run(silent, ["sleep", "30"], guest=GUEST, deadline_s=1)
