# SPDX-License-Identifier: Apache-2.0
"""`ringbed test` itself: what it checks, and how it ends."""

import ast
import os
import re
import signal
import tempfile
import threading
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import typer

from orchestrator import paths
from orchestrator.cli import main
from orchestrator.cli import test as checks
from orchestrator.errors import ExitCode, Interrupted, UsageError


def test_what_excludes_each_other_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="only one of"):
        checks.test(lint=True, fuzz=1)
    with pytest.raises(UsageError, match="only one of"):
        checks.test(lint=True, only_vm=True)
    with pytest.raises(UsageError, match="only one of"):
        checks.test(dpos="all", marked="dataplane")
    assert capsys.readouterr().out == ""


def test_a_fuzz_target_is_one_that_there_is() -> None:
    with pytest.raises(UsageError, match="--fuzz"):
        checks.test(target=["net_packet"])
    with pytest.raises(UsageError, match="net_pocket") as raised:
        checks.test(fuzz=1, target=["net_pocket"])
    assert "net_packet" in raised.value.hint


def test_guests_come_after_all_that_is_checked_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[str] = []

    def run_all(these: Sequence[checks.Check]) -> list[checks.Verdict]:
        begun.extend(check.name for check in these)
        return [
            checks.Verdict(check=check, passed=check.name != failing, seconds=0, output="")
            for check in these
        ]

    monkeypatch.setattr(checks, "_run_all", run_all)
    failing = ""
    checks.test()
    plain, begun = begun, []
    assert {"mypy", "C unit tests", "C unit tests of accounting", "fuzz targets"} < set(plain)
    checks.test(vm=True)
    assert begun == [*plain, "tests with real guests"]
    failing, begun = plain[0], []
    with pytest.raises(typer.Exit) as ended:
        checks.test(vm=True)
    assert begun == plain
    assert ended.value.exit_code == ExitCode.NOT_MET


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    """The second of them, which begins with all of the first."""
    lines = paths.project(".ci/run").read_text(encoding="utf-8").splitlines()
    readme = paths.project("README.md").read_text(encoding="utf-8")
    offered = re.findall(r"^(\./ringbed test.*?) +#", readme, re.MULTILINE)
    assert offered == ["./ringbed test", "./ringbed test --vm"]
    assert [line for line in lines if line.startswith("./ringbed")] == offered[1:]


def test_the_log_of_a_check_that_fails_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is told to read it finds it; all others are removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    good = checks.Check(name="good", argv=lambda: ["sh", "-c", "echo well"])
    slow = checks.Check(name="slow", argv=lambda: ["sh", "-c", "echo begun; sleep 60"], timeout=1)
    assert [verdict.passed for verdict in checks._run_all([good])] == [True]
    assert list(tmp_path.iterdir()) == []
    assert [verdict.passed for verdict in checks._run_all([good, slow])] == [True, False]
    (kept,) = tmp_path.glob("*/slow.log")
    assert kept.read_text(encoding="utf-8").endswith("\nbegun\n")
    assert "begun" in capsys.readouterr().out


def test_every_marker_of_pytest_can_be_named() -> None:
    settings = tomllib.loads(paths.project("pyproject.toml").read_text(encoding="utf-8"))
    declared = settings["tool"]["pytest"]["ini_options"]["markers"]
    assert sorted(line.partition(":")[0] for line in declared) == list(get_args(checks.Mark))


def test_every_proof_of_the_dataplane_can_be_named() -> None:
    source = paths.project("dataplane/tests/dpos/proofs.py").read_text(encoding="utf-8")
    (table,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "PROOFS"
    )
    assert isinstance(table, ast.Dict)
    proofs = {key.value for key in table.keys if isinstance(key, ast.Constant)}
    assert proofs - {"capture"} == set(get_args(checks.Proof)) - {"all", "clients", "locks"}


def test_a_signal_ends_the_checks_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path))
    pids = tmp_path / "pids"
    script = f"echo $$ >>{pids}; exec sleep 60"
    slow = [checks.Check(name=f"slow {i}", argv=lambda: ["sh", "-c", script]) for i in range(4)]

    def interrupt() -> None:
        while not pids.exists() or not pids.read_text().endswith("\n"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = {name: signal.getsignal(name) for name in (*main._SIGNALS, signal.SIGINT)}
    signal.signal(signal.SIGINT, main._on_signal)
    begin = time.monotonic()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            checks._run_all(slow)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
        thread.join()
    assert time.monotonic() - begin < 20
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
