# SPDX-License-Identifier: Apache-2.0
"""The one place that starts processes on the host.

Arguments are lists, the environment is explicit, standard input is closed, a deadline is
mandatory. What a command printed is kept (in a file when asked for), and a failure names the
command as one can paste it.
"""

import codecs
import io
import logging
import os
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.errors import CommandError, DeadlineError

logger = logging.getLogger(__name__)

TAIL_LINES = 25
GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.02
# Children under way, of all threads.
_children: set[subprocess.Popen[str]] = set()

type Argv = Sequence[str | os.PathLike[str]]
type Process = subprocess.Popen[str]


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
    DeadlineError when after `timeout` seconds it runs or a process it left behind holds its output;
    its whole process group is ended then.
    """
    words = tuple(os.fspath(arg) for arg in argv)
    logger.debug("run: %s", shell_form(words, env))
    begin = time.monotonic()
    with _child(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        hint=hint,
    ) as process:
        try:
            stdout, stderr = process.communicate(input_text, timeout=timeout)
        except subprocess.TimeoutExpired:
            end_group(process)
            stdout, stderr = _last_words(process)
            _append_log(log, words, stdout + stderr)
            raise DeadlineError(
                f"{words[0]} did not end within {timeout:g} s",
                details=f"$ {shell_form(words, env)}\n{tail(stdout + stderr)}",
                hint=hint,
            ) from None
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
    lines: list[str] = []
    expired = False
    with (
        log.open("a", encoding="utf-8") as file,
        _child(
            words,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(),
            hint=hint,
        ) as process,
    ):
        file.write(f"$ {shell_form(words, env)}\n")
        try:
            for line in _lines(process, timeout):
                file.write(line)
                file.flush()
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip("\n"))
        except subprocess.TimeoutExpired:
            expired = True
    output = "".join(lines)
    if expired:
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
    bound: bool = False,
) -> Iterator[Process]:
    """A process that lives as long as the context: ended with TERM, then KILL, with its group.

    bound: it also ends when the thread that started it does, however that happens.
    """
    words = tuple(os.fspath(arg) for arg in argv)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {shell_form(words, env)}\n")
        file.flush()
        with _child(
            words,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            hint="",
            bound=bound,
        ) as process:
            try:
                yield process
            finally:
                end_group(process)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a child that leads its own group, and all the group, even if the child itself ended
    before: TERM, five seconds of grace, KILL. Reaps the child; takes no more than ten seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + GRACE_SECONDS
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        while process.poll() is None or _group_lives(process.pid):
            if time.monotonic() > end:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return


def end_children() -> None:
    """End every child that this process has under way, in whichever thread: what a thread that
    must leave does for the threads that wait for those children."""
    for process in tuple(_children):
        end_group(process)


def _group_lives(group: int) -> bool:
    """Whether a process group has a member that runs: one that only waits to be reaped does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # After the name, which may hold blanks and brackets: state, parent, group.
            state, _, of = entry.read_text(errors="replace").rpartition(") ")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                return True
    return False


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


def _lines(process: subprocess.Popen[str], timeout: float) -> Iterator[str]:
    """Each line of a child's output as it comes, until the child has ended.

    When `timeout` seconds are over, the group is ended, the lines it still said follow, and then
    comes TimeoutExpired. Output that a process outside the group holds open is not waited for.
    """
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
    end = time.monotonic() + timeout
    expired, rest, chunk = False, "", b"."
    while chunk:
        left = end - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            if expired:
                break
            expired = True
            end_group(process)
            end = time.monotonic() + GRACE_SECONDS
            continue
        chunk = os.read(descriptor, 1 << 16)
        *whole, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        yield from (line + "\n" for line in whole)
    if rest:
        yield rest
    if not expired:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
            return
        end_group(process)
    raise subprocess.TimeoutExpired(process.args, timeout)


def _last_words(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What an ended child said; waits a little for a pipe that a process outside its group has."""
    try:
        return process.communicate(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"", error.stderr or b"")
        out, err = (
            part if isinstance(part, str) else part.decode(errors="replace") for part in said
        )
        return out, err


@contextmanager
def _child(
    words: tuple[str, ...],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: int,
    stdout: int | IO[str],
    stderr: int | IO[str],
    pass_fds: Sequence[int],
    hint: str,
    bound: bool = True,
) -> Iterator[subprocess.Popen[str]]:
    """A child that end_children() knows of. An exception ends its group; pipes are closed."""
    process = _popen(
        words,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        hint=hint,
        bound=bound,
    )
    _children.add(process)
    try:
        yield process
    except BaseException:
        end_group(process)
        raise
    finally:
        _children.discard(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _bound_to_us(words: tuple[str, ...], path: str) -> tuple[str, ...]:
    """The command, to be killed by the kernel when the thread that starts it is gone: a killed
    ringbed leaves no child. Only for children that their thread waits for: a background process may
    outlive the thread that started it. The process id stays the same, because setpriv becomes the
    command. A program that is not found stays unwrapped, so that starting it fails as it should."""
    if words[0] == "setpriv" or not shutil.which("setpriv", path=path):
        return words
    if not shutil.which(words[0], path=path):
        return words
    return ("setpriv", "--pdeathsig", "KILL", "--", *words)


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
    bound: bool,
) -> subprocess.Popen[str]:
    settings = environment(env)
    try:
        return subprocess.Popen(
            _bound_to_us(words, settings.get("PATH", os.defpath)) if bound else words,
            env=settings,
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
