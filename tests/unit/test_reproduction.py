# SPDX-License-Identifier: Apache-2.0
"""A run against its repetition: every byte on the virtual clock, intervals on the wall clock."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, RunBuilder, Simulated

from orchestrator.analysis import build_results
from orchestrator.analysis.reproduction import Reproduction, Same, reproduction
from orchestrator.cli.reproduce import _exit_code
from orchestrator.errors import ExitCode
from orchestrator.report.reproduction import file_rows, metric_rows, sentence, write_reproduction

type Change = Callable[[Path], None]


def simulate(root: Path, clock: str, variants: Sequence[Simulated]) -> Path:
    run = RunBuilder(root, clock)
    # A rank test on the wall clock decides nothing with less.
    for repetition in range(6 if clock == "wall" else 3):
        for variant in variants:
            run.trial(variant, 1000.0, repetition)
    return run.finish()


@pytest.fixture(scope="module", params=["virtual", "wall"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("runs") / "first", request.param, QUICKSTART[:2])


virtual = pytest.mark.parametrize("original", ["virtual"], indirect=True)
wall = pytest.mark.parametrize("original", ["wall"], indirect=True)


def repeated(original: Path, tmp_path: Path, change: Change) -> Reproduction:
    second = shutil.copytree(original, tmp_path / "second")
    change(second)
    return reproduction(build_results(original), build_results(second), tolerance=0.1)


def first_trial(root: Path) -> Path:
    trials: list[dict[str, Any]] = json.loads((root / "manifest.json").read_text())["trials"]
    return root / "trials" / str(trials[0]["id"])


def nothing(root: Path) -> None:
    pass


def another_byte(root: Path) -> None:
    load = first_trial(root) / "load.json"
    load.write_text(load.read_text() + " ")


def lost_and_found(root: Path) -> None:
    (first_trial(root) / "server.json").unlink()
    (first_trial(root) / "news.txt").write_text("x")


@virtual
def test_an_exact_repetition_is_reproduced(original: Path, tmp_path: Path) -> None:
    found = repeated(original, tmp_path, nothing)
    assert not found.failed and found.decided and _exit_code(found) is ExitCode.OK
    assert {row.verdict for row in found.files} == {Same.IDENTICAL}
    assert all(set(row.counts) == {Same.IDENTICAL} for row in found.metrics)
    assert len(file_rows(found)[1]) == 6 and "all metrics are identical" in sentence(found)


@virtual
def test_one_byte_is_found_on_the_virtual_clock(original: Path, tmp_path: Path) -> None:
    found = repeated(original, tmp_path, another_byte)
    assert found.failed and _exit_code(found) is ExitCode.NOT_MET
    rows = file_rows(found)[1]
    assert [row[2] for row in rows] == ["different"] + ["identical"] * 5
    assert rows[0][3] == "load.json"
    # The metrics that the file tells are the same all the same.
    assert {row[3] for row in metric_rows(found)[1]} == {"identical"}


@virtual
def test_files_may_be_missing_or_extra(original: Path, tmp_path: Path) -> None:
    found = repeated(original, tmp_path, lost_and_found)
    assert file_rows(found)[1][0][3] == "news.txt (extra), server.json (missing)"
    lost = {row.metric for row in found.metrics if Same.MISSING in row.counts}
    assert "accept_jain_index" in lost and "achieved_rps" not in lost


@wall
def test_the_wall_clock_is_judged_by_its_metrics(original: Path, tmp_path: Path) -> None:
    found = repeated(original, tmp_path, another_byte)
    assert not found.failed
    assert {row.verdict for row in found.files} == {Same.IDENTICAL, Same.DIFFERENT}
    rps = next(row for row in found.metrics if row.metric == "achieved_rps")
    assert rps.counts == {"same": 2} and rps.worst == 0.0


@wall
def test_a_slower_repetition_is_not_reproduced(original: Path, tmp_path: Path) -> None:
    slow = [replace(variant, floor_ns=4 * variant.floor_ns) for variant in QUICKSTART[:2]]
    second = simulate(tmp_path / "slow", "wall", slow)
    found = reproduction(build_results(original), build_results(second), tolerance=0.1)
    assert found.failed and _exit_code(found) is ExitCode.NOT_MET
    p50 = next(row for row in found.metrics if row.metric == "latency_p50")
    assert p50.counts == {"slower": 2} and p50.worst > 0.5


@virtual
def test_the_tables_are_written(original: Path, tmp_path: Path) -> None:
    found = repeated(original, tmp_path, another_byte)
    write_reproduction(tmp_path, found, "first", "second")
    data = json.loads((tmp_path / "reproduction.json").read_text())
    assert (data["reproduced"], data["expected"], data["clock"]) == (False, "first", "virtual")
    text = (tmp_path / "reproduction.md").read_text()
    assert "not reproduced: 1 of" in text and "| load.json |" in text
