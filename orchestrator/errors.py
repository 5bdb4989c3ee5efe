# SPDX-License-Identifier: Apache-2.0
"""Every error that ringbed raises on purpose.

    RingbedError
    ├── UsageError               the user asked for something that cannot be       exit 2
    │   └── SpecError            … in an experiment file: file, line, key
    └── InfrastructureError      something could not be measured                   exit 3
        ├── HostError            the host lacks something (packages, memory, disk)
        ├── ArchiveError         packages could not be had
        ├── CommandError         a command on the host failed
        ├── BuildError           a tree, an image or the C code did not build
        ├── ProvisionError       a playbook failed
        ├── MachineError         a guest: did not boot, crashed, hung
        ├── StepError            a step inside a guest failed
        └── DeadlineError        something took longer than it may
    Interrupted                  SIGINT, SIGTERM or SIGHUP                         exit 130

Libraries raise; only `orchestrator.cli` prints an error and chooses the exit code. Each error
says what happened and where (`message`, `details`), and what to do (`hint`).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; the table in docs/tutorial.md explains each."""

    OK = 0
    NOT_MET = 1
    USAGE = 2
    NOT_MEASURED = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


class RingbedError(Exception):
    """Root of the tree above.

    message: one sentence: what happened, and to what.
    hint: one sentence or command: what to do next; empty when there is nothing useful to say.
    details: the evidence, such as the last lines of a console; printed below the message.
    """

    exit_code = ExitCode.NOT_MEASURED

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append(self.details.rstrip())
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class UsageError(RingbedError):
    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """A fault in an experiment file. `line` and `column` count from 1; 0 when unknown."""

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        column: int = 0,
        key: str = "",
        hint: str = "",
        details: str = "",
    ) -> None:
        where = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{where}: {message}" if where else message, hint=hint, details=details)
        self.file = file
        self.line = line
        self.column = column
        self.key = key


class InfrastructureError(RingbedError):
    pass


class HostError(InfrastructureError):
    pass


class ArchiveError(InfrastructureError):
    pass


class CommandError(InfrastructureError):
    """A command on the host ended with another status than it may.

    command: as one can paste it into a shell. returncode: negative for a signal, None when it
    could not be started. log: the file that holds all its output, if one was asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        returncode: int | None = None,
        output: str = "",
        log: str = "",
        hint: str = "",
    ) -> None:
        details = "\n".join(part for part in (f"$ {command}" if command else "", output) if part)
        super().__init__(message, hint=hint or (f"read {log}" if log else ""), details=details)
        self.command = command
        self.returncode = returncode
        self.output = output
        self.log = log


class BuildError(InfrastructureError):
    pass


class ProvisionError(InfrastructureError):
    pass


class MachineError(InfrastructureError):
    """A guest did not do what it must. `machine` is its name in the experiment."""

    def __init__(
        self, message: str, *, machine: str = "", hint: str = "", details: str = ""
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.machine = machine


class StepError(InfrastructureError):
    """A step inside a guest failed; `machine` and `step` name it."""

    def __init__(
        self,
        message: str,
        *,
        machine: str = "",
        step: str = "",
        hint: str = "",
        details: str = "",
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.machine = machine
        self.step = step


class DeadlineError(InfrastructureError):
    pass


class Interrupted(BaseException):
    """A signal asks for the end; raised once, in the main thread, wherever it happens to be.

    Not an Exception: libraries that shrug off any Exception (logging does, and every callback of
    a library in C) must not shrug off this one.
    """

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"interrupted by {signal_name}")
        self.message = f"interrupted by {signal_name}"
        self.signal_name = signal_name
