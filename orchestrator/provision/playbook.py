# SPDX-License-Identifier: Apache-2.0
"""Runs one playbook through ansible-runner: offline, with a deadline, and leaving nothing behind.

Everything Ansible would keep in the home directory goes to a temporary directory, which also
holds the control sockets of its ssh connections.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

from orchestrator import paths, process
from orchestrator.errors import DeadlineError, InfrastructureError, ProvisionError
from orchestrator.process import deferred_signals, tail

logger = logging.getLogger(__name__)

SHORT = 40
END_S = 5.0
FAILURES = ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed")
RESULTS = ("runner_on_ok", "runner_item_on_ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task on one host. `result` is what the module returned."""

    host: str
    role: str
    task: str
    result: Mapping[str, Any]


@dataclass(slots=True)
class _Events:
    """Collects what ansible-runner reports while it runs."""

    log: Path
    done: list[TaskResult] = field(default_factory=list)
    failed: list[TaskResult] = field(default_factory=list)

    def receive(self, event: dict[str, Any]) -> bool:
        """Called for each event; False keeps ansible-runner from writing it to a file."""
        text = event.get("stdout", "")
        if text:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        data = event.get("event_data", {})
        kind = event.get("event")
        if kind in RESULTS or (kind in FAILURES and not data.get("ignore_errors")):
            result = TaskResult(
                host=data.get("host", ""),
                role=data.get("role", ""),
                task=data.get("task", ""),
                result=data.get("res", {}),
            )
            (self.done if kind in RESULTS else self.failed).append(result)
        return False


def play(
    name: str,
    hosts: Mapping[str, Mapping[str, Any]],
    *,
    group: str,
    variables: Mapping[str, Any],
    deadline_s: float,
    log: Path,
    scratch: Path | None = None,
) -> list[TaskResult]:
    """Run playbooks/<name> on `hosts` (host name to its variables), all in `group`.

    log: appended with Ansible's own output. scratch: where the temporary directory is made; with a
    short name, because sockets are in it. Returns the result of every task that ran.
    Raises ProvisionError with host, task and message of what failed first, DeadlineError after
    `deadline_s` seconds. A signal ends Ansible and all it has started, and then takes effect.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    events = _Events(log)
    with deferred_signals() as signalled, _private_directory(scratch) as (private, environment):
        inventory = {group: {"hosts": {host: dict(values) for host, values in hosts.items()}}}
        runner = ansible_runner.run(
            private_data_dir=str(private),
            project_dir=str(paths.project("playbooks")),
            playbook=name,
            inventory=inventory,
            extravars=dict(variables),
            envvars=environment,
            settings={"job_timeout": int(deadline_s) or 1, "pexpect_timeout": 1},
            event_handler=events.receive,
            # Cut short, ansible-runner would leave its children alone. So it is asked to stop.
            cancel_callback=signalled.is_set,
            quiet=True,
            suppress_env_files=True,
        )
    if runner.status == "timeout":
        raise DeadlineError(
            f"the playbook {name} did not end within {deadline_s:g} s",
            details=tail(log.read_text(encoding="utf-8")),
            hint=f"read {log}",
        )
    if events.failed or runner.status != "successful":
        raise _failure(name, events, log)
    return events.done


@contextmanager
def _private_directory(scratch: Path | None) -> Iterator[tuple[Path, dict[str, str]]]:
    # Sockets are made below it, and the path of a socket may have 107 bytes.
    usual = str(scratch or tempfile.gettempdir())
    place = usual if len(usual) <= SHORT else "/tmp"
    with tempfile.TemporaryDirectory(prefix="rb-", dir=place) as name:
        private = Path(name)
        (private / "project").mkdir()
        environment = {
            "ANSIBLE_CONFIG": str(paths.project("playbooks", "ansible.cfg")),
            "ANSIBLE_HOME": name,
            "ANSIBLE_LOCAL_TEMP": f"{name}/tmp",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{name}/cp",
            "ANSIBLE_NOCOLOR": "1",
            "TMPDIR": name,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONDONTWRITEBYTECODE": "1",
            # The tools tree brings no locale but this one, and Ansible insists on UTF-8.
            "LC_ALL": "C.UTF-8",
        }
        try:
            yield private, environment
        finally:
            _end_masters(private / "cp")


def _end_masters(sockets: Path) -> None:
    """End the ssh connections that Ansible would keep for its next start."""
    for socket in sockets.glob("*"):
        # Nobody answers where the guest is gone and the connection with it.
        with suppress(InfrastructureError):
            ssh = ("ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "guest")
            process.run(ssh, timeout=END_S, check=False)


def _failure(playbook: str, events: _Events, log: Path) -> ProvisionError:
    if not events.failed:
        output = log.read_text(encoding="utf-8") if log.exists() else ""
        return ProvisionError(
            f"the playbook {playbook} did not run", details=tail(output), hint=f"read {log}"
        )
    first = events.failed[0]
    return ProvisionError(
        f"{first.host}: the task '{first.task}' failed"
        + (f" (role {first.role})" if first.role else ""),
        details=tail(failure_text(first.result)),
        hint=f"read {log}",
    )


def failure_text(result: Mapping[str, Any]) -> str:
    """What a failed module says, the most telling part first."""
    parts: Sequence[str] = [
        str(result[key]).strip()
        for key in ("stderr", "stdout", "module_stderr", "msg")
        if result.get(key)
    ]
    return "\n".join(dict.fromkeys(parts)) or "no message"
