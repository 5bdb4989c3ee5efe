# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.cli import main, output
from orchestrator.errors import ExitCode
from orchestrator.run import directory
from orchestrator.run.journal import Journal

VERBS = [
    *("run", "plan", "resume", "status", "logs", "report", "compare", "doctor", "clean", "schema"),
    *("nightly", "explain", "trend", "bisect", "profile", "power"),
    *("baseline accept", "baseline list", "baseline show"),
    *("verify", "bundle", "reproduce"),
    *("test", "image build", "image list", "image lock"),
    *("vm up", "vm ssh", "vm console", "vm down", "vm list"),
]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(output.out, "_width", 200)
    monkeypatch.setattr(output.err, "_width", 200)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    output.set_up(verbosity=0, quiet=False)


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.invoke(words)
    out, err = capfd.readouterr()
    return int(code), out, err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, *verb.split(), "--help")
    assert code == ExitCode.OK
    assert f"Example: ./ringbed {verb}" in out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("frobnicate",), "No such command 'frobnicate'", "./ringbed --help"),
        (("run",), "Missing argument", "./ringbed run --help"),
        (("run", "quickstart", "--repeat", "x"), "'x' is no whole number", "./ringbed run --help"),
        (
            ("run", "quickstart", "--repeat", "0"),
            "below the least value, 1",
            "./ringbed run --help",
        ),
        (("run", "quickstart", "--executor", "x"), ": 'x' is not one of 'local'", "./ringbed run"),
        (("test", "--net", "x"), "'--net': 'x' is not one of 'coverage'", "./ringbed test --help"),
        (("test", "--marked", "x"), "is not one of 'bisect', 'browser'", "./ringbed test --help"),
        (("profile", "a/b", "-d", "x"), "not one of 'user', 'kernel'", "./ringbed profile --help"),
        (("run", "quickstart", "--nonsense"), "No such option", "./ringbed run --help"),
        (("run", "quickstat"), "there is no experiment quickstat", "did you mean quickstart?"),
        (("vm", "upp"), "No such command 'upp'", "./ringbed vm --help"),
    ],
)
def test_wrong_usage_says_what_and_what_to_do(
    words: tuple[str, ...], message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capfd, *words)
    assert code == ExitCode.USAGE
    assert f"error: {message}" in err or message in err
    assert f"hint: {hint}" in err


def test_options_for_every_verb_may_stand_anywhere() -> None:
    assert main.hoisted(["run", "x", "-q", "--set", "a=b"]) == ["-q", "run", "x", "--set", "a=b"]
    assert main.hoisted(["run", "x", "--", "-q"]) == ["run", "x", "--", "-q"]
    assert main.hoisted(["vm", "ssh", "server", "ls", "-v"]) == ["vm", "ssh", "server", "ls", "-v"]
    assert main.hoisted(["-q", "vm", "ssh", "a", "ls", "-v"]) == [
        "-q",
        "vm",
        "ssh",
        "a",
        "ls",
        "-v",
    ]
    assert main.hoisted(["status", "-vvv"]) == ["-vvv", "status"]


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, "--version")
    assert code == ExitCode.OK
    assert out.startswith("ringbed ")


def test_schema_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, "schema")
    assert code == ExitCode.OK
    assert json.loads(out)["type"] == "object"


@pytest.mark.parametrize("words", [("schema", "-o"), ("perf", "--page")])
@pytest.mark.parametrize("where", ["missing/file", "."])
def test_a_file_that_cannot_be_written_is_refused_at_once(
    words: tuple[str, ...], where: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begin = time.monotonic()
    code, out, err = call(capfd, *words, str(tmp_path / where))
    assert (code, out) == (ExitCode.USAGE, "")
    assert "directory" in err and "counting" not in err
    assert time.monotonic() - begin < 5


def test_status_of_no_runs_says_how_to_start_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capfd, "status", "--runs-dir", str(tmp_path))
    assert (code, out) == (ExitCode.OK, "")
    assert "./ringbed run quickstart" in err


def make_run(root: Path) -> directory.RunDirectory:
    selection: dict[str, object] = {"overrides": [], "only": [], "repeat": None, "seed": None}
    plan = {"selection": selection, "inputs": {}, "trials": [{}, {}, {}]}
    run = directory.RunDirectory(path=root / "20260101T000000Z-demo-4f2a1c")
    run.trial("").mkdir(parents=True)
    run.plan.write_text(json.dumps(plan))
    with Journal(run.journal) as journal:
        journal.append("run-start")
        journal.append("trial-start", trial="a")
        journal.append("trial-end", trial="a", outcome="ok")
        journal.append("trial-start", trial="b")
        journal.append("trial-end", trial="b", outcome="failed", reason="server: no answer")
        journal.append("trial-start", trial="c")
    return run


def test_status_tells_a_crashed_run_and_its_failures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    code, out, _ = call(capfd, "status", run.name, "--runs-dir", str(tmp_path))
    assert code == ExitCode.OK
    assert "crashed" in out
    assert "1/3" in out
    assert "b: server: no answer" in out
    code, out, _ = call(capfd, "status", run.name, "--runs-dir", str(tmp_path), "--json")
    data = json.loads(out)
    assert (data["done"], data["failed"], data["trials"]) == (1, 1, 3)
    assert data["under_way"] == ["c"]


def test_logs_print_steps_and_messages(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    lines = [
        {"time": 0, "edge": "begin", "step": "guests"},
        {"time": 61, "edge": "end", "step": "guests", "seconds": 61.0},
        {"time": 62, "level": "warning", "module": "orchestrator.vm", "message": "slow"},
    ]
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = call(capfd, "logs", run.name, "--runs-dir", str(tmp_path))
    assert code == ExitCode.OK
    assert out.splitlines() == [
        "00:00:00 … guests",
        "00:01:01 ✓ guests  1 min 01 s",
        "00:01:02 W orchestrator.vm: slow",
    ]


def test_logs_of_a_machine_that_is_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    (run.machines / "server").mkdir(parents=True)
    (run.machines / "server" / "console.log").write_text("ringbed: ready\r\n")
    code, out, _ = call(capfd, "logs", "-m", "server", run.name, "--runs-dir", str(tmp_path))
    assert (code, out) == (ExitCode.OK, "ringbed: ready\n")
    code, _, err = call(capfd, "logs", "-m", "sever", run.name, "--runs-dir", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "it has: server" in err


@pytest.mark.parametrize("words", [("--help",), ("run", "--help")])
def test_help_names_the_option_that_only_the_launcher_obeys(
    words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(capfd, *words)
    assert "--no-install" in out
    assert main.hoisted(["status", "--no-install"]) == ["--no-install", "status"]


def test_help_waits_for_nothing_that_only_work_needs() -> None:
    """Each of these takes tenths of a second to import, and some verb needs each."""
    slow = {"pydantic", "numpy", "pandas", "pyarrow", "matplotlib", "libvirt", "fabric", "submitit"}
    code = (
        "import sys; from orchestrator.cli import main; main.invoke(['--help']); "
        f"print('imported', sorted({slow} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(paths.PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "imported []"
