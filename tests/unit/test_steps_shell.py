# SPDX-License-Identifier: Apache-2.0
"""The scripts are run by the host's own `sh`: what a guest would do, without a guest."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.steps import shell
from orchestrator.steps.model import Collect, Put, Run, Start, Step, Stop, WaitFor

M = "server"


def execute(out: Path, *steps: Step, keep_going: bool = False) -> list[shell.Record]:
    text = shell.script(list(enumerate(steps)), str(out), keep_going=keep_going)
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return shell.records(done.stdout)


def test_put_writes_any_text_with_its_mode(tmp_path: Path) -> None:
    text = "a 'quoted' $line\nwith \\ and %s\n"
    path = tmp_path / "deep" / "file"
    (record,) = execute(tmp_path, Put(machine=M, path="{out}/deep/file", text=text, mode=0o750))
    assert record.outcome == "ok"
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o750


def test_run_replaces_out_and_keeps_arguments_apart(tmp_path: Path) -> None:
    argv = ("printf", "%s|", "a b", "$HOME", "{out}")
    (record,) = execute(tmp_path, Run(machine=M, argv=argv, stdout="{out}/said"))
    assert record.outcome == "ok"
    assert (tmp_path / "said").read_text() == f"a b|$HOME|{tmp_path}|"


def test_run_passes_its_environment(tmp_path: Path) -> None:
    step = Run(
        machine=M, argv=("sh", "-c", "echo $WHO"), env=(("WHO", "a b"),), stdout="{out}/said"
    )
    execute(tmp_path, step)
    assert (tmp_path / "said").read_text() == "a b\n"


def test_failed_run_shows_its_error_and_ends_the_script(tmp_path: Path) -> None:
    fails = Run(machine=M, argv=("sh", "-c", "echo why >&2; exit 3"))
    found = execute(tmp_path, fails, Run(machine=M, argv=("true",)))
    assert [(r.index, r.outcome, r.status) for r in found] == [(0, "failed", 3)]
    assert found[0].reason == "ended with status 3"
    assert found[0].evidence == "why"


def test_teardown_goes_on_after_a_failure(tmp_path: Path) -> None:
    false = Run(machine=M, argv=("false",))
    found = execute(tmp_path, false, Run(machine=M, argv=("true",)), keep_going=True)
    assert [r.outcome for r in found] == ["failed", "ok"]


def test_accepted_status_is_no_failure(tmp_path: Path) -> None:
    (record,) = execute(tmp_path, Run(machine=M, argv=("sh", "-c", "exit 7"), accept=(0, 7)))
    assert record.outcome == "ok"


def test_run_ends_a_command_that_hangs(tmp_path: Path) -> None:
    (record,) = execute(tmp_path, Run(machine=M, argv=("sleep", "60"), deadline_s=0.2))
    assert (record.outcome, record.status) == ("failed", 124)
    assert "did not end within 0.2 s" in record.reason


def test_process_is_started_awaited_and_stopped(tmp_path: Path) -> None:
    server = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    found = execute(
        tmp_path,
        Start(machine=M, name="server", argv=("sh", "-c", server)),
        WaitFor(machine=M, name="server", line="ready"),
        Stop(machine=M, name="server"),
    )
    assert [r.outcome for r in found] == ["ok", "ok", "ok"]
    assert (tmp_path / "server.status").read_text() == "0\n"
    assert "bye" in (tmp_path / "server.log").read_text()


def test_a_script_ends_while_what_it_started_runs(tmp_path: Path) -> None:
    begin = time.monotonic()
    start = Start(machine="m", name="server", argv=("sleep", "60"))
    assert execute(tmp_path, start)[0].outcome == "ok"
    assert time.monotonic() - begin < 10
    execute(tmp_path, Stop(machine="m", name="server", signal="KILL"))


def test_server_that_dies_is_told_while_waiting(tmp_path: Path) -> None:
    found = execute(
        tmp_path,
        Start(machine=M, name="server", argv=("sh", "-c", "echo no port >&2; exit 9")),
        WaitFor(machine=M, name="server", line="ready"),
    )
    assert found[1].outcome == "failed"
    assert found[1].reason == "server has died with status 9"
    assert found[1].evidence == "no port"


def test_server_that_never_gets_ready(tmp_path: Path) -> None:
    found = execute(
        tmp_path,
        Start(machine=M, name="server", argv=("sleep", "60")),
        WaitFor(machine=M, name="server", line="ready", deadline_s=0.2),
        Stop(machine=M, name="server"),
        keep_going=True,
    )
    assert [r.outcome for r in found] == ["ok", "failed", "ok"]
    assert "within 0.2 s" in found[1].reason


def test_stop_tells_a_server_that_died_under_load(tmp_path: Path) -> None:
    start = Start(machine=M, name="server", argv=("sh", "-c", "exit 139"))
    wait = Run(machine=M, argv=("sh", "-c", "until [ -e {out}/server.status ]; do :; done"))
    found = execute(tmp_path, start, wait, Stop(machine=M, name="server"))
    assert found[2].outcome == "failed"
    assert found[2].reason == "server had died with status 139"


def test_stop_kills_what_ignores_the_signal(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    found = execute(
        tmp_path,
        Start(machine=M, name="server", argv=("sh", "-c", stubborn)),
        WaitFor(machine=M, name="server", line="up"),
        Stop(machine=M, name="server", grace_s=0.1),
    )
    assert found[2].outcome == "failed"
    assert "did not end within 0.1 s of SIGTERM" in found[2].reason


def test_stop_of_what_was_never_started_is_fine(tmp_path: Path) -> None:
    (record,) = execute(tmp_path, Stop(machine=M, name="server"))
    assert record.outcome == "ok"


def test_second_start_of_one_name_is_refused(tmp_path: Path) -> None:
    start = Start(machine=M, name="server", argv=("sleep", "60"))
    ready = Run(machine=M, argv=("sh", "-c", "until [ -e {out}/server.pid ]; do :; done"))
    stop = Stop(machine=M, name="server")
    found = execute(tmp_path, start, ready, start, stop, keep_going=True)
    assert [r.outcome for r in found] == ["ok", "ok", "failed", "ok"]


def test_waiting_for_a_port_makes_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        port = listener.getsockname()[1]
        (record,) = execute(tmp_path, WaitFor(machine=M, name="server", port=port))
        assert record.outcome == "ok"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_wait_for_needs_exactly_one_condition(tmp_path: Path) -> None:
    for step in (WaitFor(machine=M, name="x"), WaitFor(machine=M, name="x", line="a", port=1)):
        with pytest.raises(ValueError, match="a line or a port"):
            shell.script([(0, step)], str(tmp_path))


def test_collected_files_come_back_byte_for_byte(tmp_path: Path) -> None:
    content = bytes(range(256)) * 300
    (tmp_path / "raw").write_bytes(content)
    steps = [(3, Collect(machine=M, path="{out}/raw", into="raw"))]
    done = subprocess.run(
        ["sh", "-c", shell.script(steps, str(tmp_path))], capture_output=True, text=True, timeout=30
    )
    assert shell.files(done.stdout) == {3: content}
    assert [record.outcome for record in shell.records(done.stdout)] == ["ok"]


def test_a_missing_file_fails_unless_it_is_optional(tmp_path: Path) -> None:
    missing = Collect(machine=M, path="{out}/absent", into="a")
    optional = Collect(machine=M, path="{out}/absent", into="a", optional=True)
    found = execute(tmp_path, optional, missing)
    assert [record.outcome for record in found] == ["ok", "failed"]
    assert found[1].reason == "is not there to be collected"


def test_a_fresh_script_empties_the_directory_of_the_trial(tmp_path: Path) -> None:
    out = tmp_path / "trial"
    out.mkdir()
    (out / "old").touch()
    steps = [(0, Run(machine=M, argv=("true",)))]
    text = shell.script(steps, str(out), fresh=True)
    subprocess.run(["sh", "-c", text], check=True, timeout=30, capture_output=True)
    assert not (out / "old").exists()
    assert out.is_dir()


def test_every_step_can_be_described() -> None:
    steps: tuple[Step, ...] = (
        Put(machine=M, path="/p", text=""),
        Run(machine=M, argv=("ls", "a b")),
        Start(machine=M, name="n", argv=("x" * 200,)),
        WaitFor(machine=M, name="n", port=7),
        Stop(machine=M, name="n"),
        Collect(machine=M, path="/c", into="c"),
    )
    texts = [shell.describe(step) for step in steps]
    assert texts[1] == "run ls 'a b'"
    assert texts[3] == "wait for n (port 7)"
    assert all(len(text) < 130 for text in texts)
