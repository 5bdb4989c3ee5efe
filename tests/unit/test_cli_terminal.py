# SPDX-License-Identifier: Apache-2.0
"""What the command line shows: nothing cut at 80 columns, and the next command in every hint."""

import fcntl
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from simulated_run import QUICKSTART, RunBuilder

from orchestrator import log, paths
from orchestrator.cli import main, output, progress
from orchestrator.errors import ExitCode
from orchestrator.host.locks import try_lock
from orchestrator.run import directory
from orchestrator.run.journal import Journal
from orchestrator.vm.lease import Lease, LeasedMachine
from orchestrator.vm.state import LEASE

HEADERS = ["variant", "max requests/s>", "p50 at 100/s>", "max load, p99 ≤ 100 ms>", "void>"]


@pytest.fixture(autouse=True)
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(output.out, "_width", 80)
    monkeypatch.setattr(output.err, "_width", 80)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RINGBED_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    yield
    output.set_up(verbosity=0, quiet=False)


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.invoke(words)
    out, err = capfd.readouterr()
    return int(code), out, err


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_loses_no_header_and_no_cell(
    width: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.out, "_width", width)
    rows = [["linux-echo-reuseport", "12,345", "3.40 ms", "no valid point", "0/15"]]
    output.show_table("a title that is longer than a narrow terminal is wide", HEADERS, rows)
    text, _ = capfd.readouterr()
    lines = text.splitlines()
    assert lines[0] == "a title that is longer than a narrow terminal is wide"
    assert all(len(line) <= width for line in lines[1:])
    for word in [*" ".join(HEADERS).replace(">", "").split(), *rows[0]]:
        assert word in text
    # Each of the tables says which row it speaks of.
    assert text.count("linux-echo-reuseport") == lines.count("") + 1
    assert (width >= 80) == (len(lines) == 3)


def test_a_long_label_stays_whole_beside_a_long_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.out, "_width", 60)
    label, reason = "quickstart/linux/4000/instructions_per_request", "identical in 5 seeds " * 3
    output.show_table("", ["cell", "verdict", "why"], [[label, "same", reason.strip()]])
    text, _ = capfd.readouterr()
    assert text.count(label) == text.count("cell") == 2
    assert "".join(text.split()).count("seeds") == 3


@pytest.mark.parametrize("words", [["run"], ["plan"], ["status"], ["vm", "down"], ["clean"]])
def test_help_names_no_type_that_says_nothing(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(capfd, *words, "--help")
    assert not [word for word in ("<bool>", "<str>", "<int", "[[", "{") if word in out]


def test_verbs_that_honour_them_name_quiet_and_verbose(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["run"], ["resume"], ["plan"], ["doctor"], ["image", "build"], ["vm", "up"]):
        _, out, _ = call(capfd, *words, "--help")
        assert "--quiet" in out
        assert "--verbose" in out


def make_run(root: Path, *, ended: str = "") -> directory.RunDirectory:
    run = directory.RunDirectory(path=root / "20260101T000000Z-demo-4f2a1c")
    run.trial("").mkdir(parents=True)
    selection: dict[str, object] = {"overrides": [], "only": [], "repeat": None, "seed": None}
    trials = [
        {
            "id": f"t{number}",
            "variant": variant,
            "kind": "measure",
            "offered_rps": 100.0,
            "point": {"load": 100.0, "workload.message": "64B"},
            "repetition": 1,
            "warmup_ns": 0,
            "duration_ns": 10**9,
        }
        for number, variant in enumerate(("one", "one", "two", "two"))
    ]
    run.plan.write_text(json.dumps({"selection": selection, "inputs": {}, "trials": trials}))
    with Journal(run.journal) as journal:
        journal.append("run-start")
        for number, outcome in enumerate(("ok", "ok", "failed" if not ended else "ok")):
            journal.append("trial-start", trial=f"t{number}")
            reason = {0: "", 1: "late by 2000000 ns", 2: "" if ended else "server: no answer"}[
                number
            ]
            fields = {"outcome": outcome, "reason": reason, "seconds": 4.0}
            journal.append("trial-end", trial=f"t{number}", **fields)
        journal.append("trial-start", trial="t3")
        if ended:
            journal.append("trial-end", trial="t3", outcome="ok")
            journal.append("run-end", outcome=ended)
    return run


def test_status_of_a_living_run_in_detail(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    (run.machines / "server").mkdir(parents=True)
    run.trial("t2").mkdir()
    (run.trial("t2") / "server.log").write_text("listening\nout of memory\n\n")
    arguments = (run.name, "--runs-dir", str(tmp_path))
    with run.locked():
        code, out, _ = call(capfd, "status", *arguments)
        data = json.loads(call(capfd, "status", *arguments, "--json")[1])
    assert code == ExitCode.OK
    assert "trials    1/4 done, 1 void, 1 failed" in out
    assert "one at 100/s message=64B #1: late by 2 ms" in out
    assert "now       two at 100/s message=64B #1" in out
    assert "left      about 4.0 s" in out
    assert f"./ringbed logs -f {run.path}" in out
    assert f"./ringbed logs -m server {run.path}" in out
    failed = "two at 100/s message=64B #1"
    assert f"  {failed}: server: no answer\n    server.log: out of memory\n" in out
    assert data["server_said"] == {failed: "out of memory"}
    assert data["variants"] == {
        "one": {"done": 1, "void": 1, "failed": 0, "left": 0},
        "two": {"done": 0, "void": 0, "failed": 1, "left": 1},
    }
    _, out, _ = call(capfd, "status", *arguments)
    assert f"go on     ./ringbed resume {run.path}" in out


def test_the_list_of_runs_counts_void_trials_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, ended="ok")
    _, out, _ = call(capfd, "status", "--runs-dir", str(tmp_path))
    head, line = out.splitlines()
    assert head.split() == ["run", "state", "done", "void"]
    assert line.split()[2:] == ["3/4", "1"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_void_trials_with_their_reason(terminal: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=80, color_system=None)
    with progress.reporter(console, silent=False) as shown:
        shown.trials(2, 1.0)
        shown.trial_started("one #1")
        shown.trial_ended("one #1", "void", "largest lateness 59846414 ns", 1.0)
    lines = [line for line in screen.getvalue().splitlines() if "59.8 ms" in line]
    assert len(lines) == 1 and "void" in lines[0] and "one #1" in lines[0]


def test_a_comparison_lists_the_points_of_both_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = []
    for name, loads in (("a", (500.0, 1500.0)), ("b", (500.0,))):
        run = RunBuilder(tmp_path / name)
        for repetition in range(3):
            for offered in loads:
                run.trial(QUICKSTART[1], offered, repetition)
        places.append(str(run.finish()))
    code, out, _ = call(capfd, "compare", *places)
    assert "4 points in both: " in out
    assert "4 points only in A (--all shows them)" in out
    assert "1,500" not in out
    _, everything, _ = call(capfd, "compare", "--all", *places)
    assert "1,500" in everything
    assert "--all" not in everything
    assert code == ExitCode.OK


def test_a_reader_that_goes_away_is_no_failure() -> None:
    words = [sys.executable, "-m", "orchestrator", "schema"]
    with subprocess.Popen(
        words, cwd=paths.PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        # The schema is larger than such a pipe: it cannot have been written by then.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.OK


def test_resume_of_a_finished_run_has_nothing_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, ended="ok")
    (run.path / "report.html").write_text("as it was")
    before = run.journal.read_bytes()
    code, out, _ = call(capfd, "resume", run.name, "--runs-dir", str(tmp_path))
    assert code == ExitCode.OK
    assert "all 4 trials are done, nothing is left to do" in out
    assert run.journal.read_bytes() == before
    assert (run.path / "report.html").read_text() == "as it was"


def test_resume_of_a_finished_run_writes_the_report_that_it_lacks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    builder = RunBuilder(tmp_path / "20260101T000000Z-simulated-4f2a1c")
    builder.trial(QUICKSTART[0], 500.0, 0)
    root = builder.finish()
    selection: dict[str, object] = {"overrides": [], "only": [], "repeat": None, "seed": None}
    plan = {"selection": selection, "inputs": {}, "trials": [{}]}
    (root / "plan.json").write_text(json.dumps(plan))
    with Journal(root / "journal.jsonl") as journal:
        journal.append("run-end", outcome="ok")
    code, out, err = call(capfd, "resume", root.name, "--runs-dir", str(tmp_path))
    assert (code, "nothing is left to do" in out) == (ExitCode.OK, True), err
    assert "<html" in (root / "report.html").read_text(encoding="utf-8")


def test_logs_of_an_unknown_machine_name_what_there_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    for name in ("client", "server"):
        (run.machines / name).mkdir(parents=True)
    (run.machines / "playbook.log").write_text("TASK [tune]\n")
    arguments = (run.name, "--runs-dir", str(tmp_path))
    code, _, err = call(capfd, "logs", "-m", "sever", *arguments)
    assert code == ExitCode.USAGE
    assert "hint: it has: client, server, playbook" in err
    assert call(capfd, "logs", "-m", "playbook", *arguments)[1] == "TASK [tune]\n"


def lease(tmp_path: Path, token: str, *names: str) -> Lease:
    state = tmp_path / "state" / token
    (state / "con").mkdir(parents=True)
    made = Lease(
        token=token,
        purpose="quickstart",
        created=time.time(),
        connect="embed",
        machines=tuple(
            LeasedMachine(
                name=name,
                ssh_port=1,
                pid=0,
                console_log=state / "log",
                console_socket=state / "con" / name,
            )
            for name in names
        ),
    )
    made.write(state / LEASE)
    return made


def test_a_name_that_several_machines_have_is_asked_for_with_its_token(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lease(tmp_path, "a123456789", "client", "server")
    lease(tmp_path, "b123456789", "server")
    code, _, err = call(capfd, "vm", "ssh", "server", "true")
    assert code == ExitCode.USAGE
    assert "a123456789/server" in err
    assert "hint: say which: ./ringbed vm ssh b123456789/server" in err


def test_a_console_has_one_user_at_a_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = lease(tmp_path, "a123456789", "server").machines[0]
    held = try_lock(machine.console_socket.with_name("server.lock"))
    assert held is not None
    code, _, err = call(capfd, "vm", "console", "server")
    assert code == ExitCode.USAGE
    assert "somebody is at the console of server already" in err
    assert str(machine.console_log) in err


@pytest.mark.parametrize("width", [80, 200])
def test_the_living_line_shows_its_figures_whole(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    live = progress.Live(console)
    live.trials(123, 65.0)
    live.trial_started("a-variant-with-a-long-name at 123456/s connections=1024 message=16KiB #12")
    console.print(live.bar.get_renderable())
    line = max(screen.getvalue().splitlines(), key=len)
    for figure in ("0/123 trials", "0:00:00", "133 min 15 s left"):
        assert figure in line
    assert len(line) <= width


def test_warnings_appear_above_the_living_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(output, "err", console)
    output.set_up(verbosity=0, quiet=False)
    with progress.reporter(console, silent=False), log.step("a step"):
        logging.getLogger("orchestrator.anything").warning("memory is %s", "short")
    assert "warning: memory is short\n" in screen.getvalue()
    output.set_up(verbosity=0, quiet=True)
    logging.getLogger("orchestrator.anything").warning("never seen")
    assert "never seen" not in screen.getvalue()
