# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator import paths, process
from orchestrator.errors import CommandError, DeadlineError


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"


def gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(pid)


def test_output_is_kept_apart_and_input_is_closed() -> None:
    done = process.run(["sh", "-c", "cat; echo out; echo err >&2"], timeout=10)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 0)


def test_input_text_is_passed() -> None:
    assert process.run(["cat"], timeout=10, input_text="hé").stdout == "hé"


def test_failure_names_the_command_as_it_can_be_pasted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(CommandError) as caught:
        process.run(["sh", "-c", "echo why >&2; exit 4"], timeout=10, env={"A": "b c"}, log=log)
    assert caught.value.returncode == 4
    assert "$ A='b c' sh -c 'echo why >&2; exit 4'" in caught.value.details
    assert "why" in caught.value.details
    assert str(log) in caught.value.hint
    assert "why" in log.read_text()


def test_death_by_a_signal_is_told() -> None:
    with pytest.raises(CommandError, match="SIGKILL"):
        process.run(["sh", "-c", "kill -KILL $$"], timeout=10)


def test_missing_program_is_a_command_error() -> None:
    with pytest.raises(CommandError, match="could not be started"):
        process.run(["/no/such/program"], timeout=10)


def test_unchecked_status_is_returned() -> None:
    assert process.run(["false"], timeout=10, check=False).returncode == 1


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! >{pid_file}; wait"
    with pytest.raises(DeadlineError, match="within 0.3 s"):
        process.run(["sh", "-c", script], timeout=0.3)
    assert gone(int(pid_file.read_text()))


def test_stream_gives_each_line_at_once_and_logs_it(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "log"
    process.stream(["sh", "-c", "echo a; echo b >&2"], timeout=10, log=log, on_line=lines.append)
    assert lines == ["a", "b"]
    assert log.read_text().endswith("a\nb\n")


def test_stream_keeps_its_deadline(tmp_path: Path) -> None:
    with pytest.raises(DeadlineError):
        process.stream(["sleep", "60"], timeout=0.2, log=tmp_path / "log")


def test_stream_reports_the_end_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        process.stream(["sh", "-c", "echo last words; exit 2"], timeout=10, log=tmp_path / "log")
    assert "last words" in caught.value.details


def test_background_process_is_gone_after_the_context(tmp_path: Path) -> None:
    with process.background(["sleep", "60"], log=tmp_path / "log") as child:
        assert child.poll() is None
    assert child.returncode == -signal.SIGTERM


def test_background_process_that_ignores_term_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    script = f"trap '' TERM; echo >{tmp_path}/up; while :; do sleep 0.01; done"
    with process.background(["sh", "-c", script], log=tmp_path / "log") as child:
        while not (tmp_path / "up").exists():
            time.sleep(0.01)
    assert child.returncode == -signal.SIGKILL


LEFT_BEHIND = "sleep 60 & echo $! >{pid}; echo said; exit 0"


def test_deadline_holds_for_a_process_left_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = ["sh", "-c", LEFT_BEHIND.format(pid=pid)]
    begin = time.monotonic()
    with pytest.raises(DeadlineError, match="within 0.3 s") as caught:
        process.run(script, timeout=0.3)
    assert "said" in caught.value.details
    assert gone(int(pid.read_text()))
    with pytest.raises(DeadlineError, match="within 0.3 s") as caught:
        process.stream(script, timeout=0.3, log=tmp_path / "log")
    assert "said" in caught.value.details
    assert gone(int(pid.read_text()))
    assert time.monotonic() - begin < 5


def test_deadline_holds_for_a_process_that_left_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    pid = tmp_path / "pid"
    script = ["sh", "-c", f"setsid sh -c 'echo $$ >{pid}; exec sleep 60' & echo said"]
    begin = time.monotonic()
    try:
        with pytest.raises(DeadlineError) as caught:
            process.run(script, timeout=0.5)
        assert "said" in caught.value.details
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    try:
        with pytest.raises(DeadlineError) as caught:
            process.stream(script, timeout=0.5, log=tmp_path / "log")
        assert "said" in caught.value.details
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    assert time.monotonic() - begin < 5


def test_a_background_process_takes_its_descendants_along(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = ["sh", "-c", LEFT_BEHIND.format(pid=pid)]
    with process.background(script, log=tmp_path / "log") as child:
        child.wait(10)
    assert gone(int(pid.read_text()))


def test_stream_joins_what_comes_in_pieces(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "printf 'a\\303'; sleep 0.1; printf '\\251\\r\\nb'"
    process.stream(["sh", "-c", script], timeout=10, log=tmp_path / "log", on_line=lines.append)
    assert lines == ["aé", "b"]


def test_children_of_other_threads_can_be_ended() -> None:
    with ThreadPoolExecutor() as pool:
        child = pool.submit(process.run, ["sleep", "60"], timeout=60, check=False)
        while not child.done():
            process.end_children()
            time.sleep(0.05)
        assert child.result().returncode == -signal.SIGTERM


def test_a_child_dies_with_a_killed_parent() -> None:
    reading, writing = os.pipe()
    script = f"echo $$ >/proc/self/fd/{writing}; exec sleep 60"
    code = (
        "from orchestrator import process\n"
        f"process.run(['sh', '-c', '{script}'], timeout=60, pass_fds=[{writing}])\n"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, cwd=paths.PROJECT, pass_fds=[writing]) as parent:
        os.close(writing)
        with open(reading) as pipe:
            pid = int(pipe.readline())
        assert alive(pid)
        parent.kill()
    assert gone(pid)


def test_a_background_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            context = process.background(["sleep", "60"], log=tmp_path / "log")
            child = pool.submit(stack.enter_context, context).result()
        time.sleep(0.1)
        assert child.poll() is None


def test_tail_takes_the_last_lines() -> None:
    assert process.tail("\n".join(map(str, range(100))), 2) == "98\n99"
