# SPDX-License-Identifier: Apache-2.0
"""The one place that starts processes on the host.

Arguments are lists, the environment is explicit, standard input is closed, a deadline is
mandatory. What a command printed is kept (in a file when asked for), and a failure names the
command as one can paste it.
"""

import logging
import os
import shlex
import signal
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import CommandError, DeadlineError

logger = logging.getLogger(__name__)

TAIL_LINES = 25
GRACE_SECONDS = 5.0

type Argv = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What an ended command left: its status and its standard output and error, decoded."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


def shell_form(argv: Argv, env: Mapping[str, str] | None = None) -> str:
    """The command as one can paste it into a shell."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    return " ".join([*settings, shlex.join(os.fspath(arg) for arg in argv)])


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text, for an error message."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child: this process's own with a fixed locale, plus `extra`."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", **(extra or {})}


def run(
    argv: Argv,
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    check: bool = True,
    input_text: str | None = None,
    pass_fds: Sequence[int] = (),
    hint: str = "",
) -> Completed:
    """Run a command to its end.

    env: added to the inherited environment. log: appended with the command and all it prints.
    Raises CommandError when it cannot start or (with check) ends with another status than 0,
    DeadlineError when it runs longer than `timeout` seconds; its whole process group is ended then.
    """
    words = tuple(os.fspath(arg) for arg in argv)
    logger.debug("run: %s", shell_form(words, env))
    begin = time.monotonic()
    process = _popen(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        hint=hint,
    )
    try:
        stdout, stderr = process.communicate(input_text, timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(process)
        stdout, stderr = process.communicate()
        _append_log(log, words, stdout + stderr)
        raise DeadlineError(
            f"{words[0]} did not end within {timeout:g} s",
            details=f"$ {shell_form(words, env)}\n{tail(stdout + stderr)}",
            hint=hint,
        ) from None
    except BaseException:
        end_group(process)
        raise
    _append_log(log, words, stdout + stderr)
    done = Completed(
        argv=words,
        returncode=process.returncode,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - begin,
    )
    if check and done.returncode != 0:
        raise _failure(done, env, log, hint)
    return done


def stream(
    argv: Argv,
    *,
    timeout: float,
    log: Path,
    on_line: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    hint: str = "",
) -> Completed:
    """Run a long command, standard output and error together, line by line.

    Every line goes to `log` and to `on_line` as it comes. Raises as `run` does.
    """
    words = tuple(os.fspath(arg) for arg in argv)
    logger.debug("stream: %s", shell_form(words, env))
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    process = _popen(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(),
        hint=hint,
    )
    timer = _Deadline(process, timeout)
    lines: list[str] = []
    try:
        with log.open("a", encoding="utf-8") as file, timer:
            file.write(f"$ {shell_form(words, env)}\n")
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    output = "".join(lines)
    if timer.expired:
        raise DeadlineError(
            f"{words[0]} did not end within {timeout:g} s", details=tail(output), hint=f"read {log}"
        )
    done = Completed(
        argv=words,
        returncode=process.returncode,
        stdout=output,
        stderr="",
        seconds=time.monotonic() - begin,
    )
    if done.returncode != 0:
        raise _failure(done, env, log, hint)
    return done


@contextmanager
def background(
    argv: Argv,
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[str]]:
    """A process that lives as long as the context: ended with TERM, then KILL, with its group."""
    words = tuple(os.fspath(arg) for arg in argv)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {shell_form(words, env)}\n")
        file.flush()
        process = _popen(
            words,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            hint="",
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a child that leads its own group: TERM, five seconds of grace, KILL. Reaps it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and number is signal.SIGTERM:
            return
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def deferred_signals() -> Iterator[threading.Event]:
    """Keep SIGINT, SIGTERM and SIGHUP waiting until the context ends; then they do what they do.

    For work that must not be cut short: making something that has to be removed again, and
    removing it. The event tells the work that a signal waits. In a thread other than the main one,
    where no signal is handled, nothing changes.
    """
    waits = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield waits
        return
    caught: list[tuple[int, types.FrameType | None]] = []

    def note(number: int, frame: types.FrameType | None) -> None:
        caught.append((number, frame))
        waits.set()

    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if callable(handler := signal.getsignal(number))
    }
    try:
        for name in handlers:
            signal.signal(name, note)
        yield waits
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
        if caught:
            number, frame = caught[0]
            handlers[signal.Signals(number)](number, frame)


def replace(argv: Argv, *, env: Mapping[str, str] | None = None) -> None:
    """Become another program (`vm ssh`, `vm console`): does not return."""
    words = [os.fspath(arg) for arg in argv]
    os.execvpe(words[0], words, environment(env))


class _Deadline:
    """Ends a process group when its time is over, while another thread reads its output."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self.expired = False
        self._process = process
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def _expire(self) -> None:
        self.expired = True
        end_group(self._process)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _popen(
    words: tuple[str, ...],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: int,
    stdout: int | IO[str],
    stderr: int | IO[str],
    pass_fds: Sequence[int],
    hint: str,
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            words,
            env=environment(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        raise CommandError(
            f"{words[0]} could not be started: {error.strerror}",
            command=shell_form(words, env),
            hint=hint,
        ) from error


def _failure(
    done: Completed, env: Mapping[str, str] | None, log: Path | None, hint: str
) -> CommandError:
    if done.returncode < 0:
        how = f"was ended by {signal.Signals(-done.returncode).name}"
    else:
        how = f"ended with status {done.returncode}"
    return CommandError(
        f"{done.argv[0]} {how}",
        command=shell_form(done.argv, env),
        returncode=done.returncode,
        output=tail(done.stderr or done.stdout),
        log=str(log) if log else "",
        hint=hint,
    )


def _append_log(log: Path | None, words: tuple[str, ...], output: str) -> None:
    if log is None:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {shlex.join(words)}\n{output}")
