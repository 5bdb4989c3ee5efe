# SPDX-License-Identifier: Apache-2.0
"""The rows of the terminal: swept keys named and sorted, reasons in units that people read."""

import json
from pathlib import Path

import pytest
from simulated_run import connections, quickstart

from orchestrator.analysis import Estimate, Row, Verdict, build_results
from orchestrator.report import comparisons, summary_notes, summary_rows
from orchestrator.report.columns import spoken
from orchestrator.report.formats import time_us
from orchestrator.report.terminal import label_count


def test_rows_of_a_sweep_name_the_key_and_stand_by_its_value(tmp_path: Path) -> None:
    headers, rows = summary_rows(build_results(connections(tmp_path / "run")))
    assert headers[:3] == ["variant", "connections>", "requests/s>"]
    for variant in {row[0] for row in rows}:
        values = [int(row[1]) for row in rows if row[0] == variant]
        assert len(values) > 2
        assert values == sorted(values)


def test_without_a_sweep_the_variant_is_enough(tmp_path: Path) -> None:
    headers, rows = summary_rows(build_results(quickstart(tmp_path / "run")))
    assert headers[:2] == ["variant", "max requests/s>"]
    assert len({row[0] for row in rows}) == len(rows) == 3
    assert {len(row) for row in rows} == {len(headers)}


def test_a_closed_loop_shows_the_latency_of_each_point(tmp_path: Path) -> None:
    headers, rows = summary_rows(build_results(connections(tmp_path / "run")))
    for name in ("p50>", "p99>"):
        assert all(row[headers.index(name)] != "–" for row in rows)
    assert not any(" at " in name for name in headers)
    # Nothing was counted: no column says so in every row.
    assert "system calls per request>" not in headers


def test_the_summary_shows_the_metrics_of_the_experiment_at_the_lowest_load(tmp_path: Path) -> None:
    root = quickstart(tmp_path / "run")
    path = root / "manifest.json"
    manifest = json.loads(path.read_text())
    metrics = ["latency_p50", "latency_p9999", "goodput", "syscalls_per_request_read"]
    manifest["experiment"]["metrics"] = [*metrics, {"name": "accept_jain_index", "unit": "ratio"}]
    path.write_text(json.dumps(manifest))
    results = build_results(root)
    headers, rows = summary_rows(results)
    assert headers == [
        "variant",
        "max requests/s>",
        "max load, p99 ≤ 20 ms>",
        "p50 at 500/s>",
        "goodput (Mbit/s) at 500/s>",
        "syscalls per request, read>",
        "Jain's index of accepts at 500/s>",
        "system calls per request>",
        "packets per batch>",
        "void>",
    ]
    point = next(p for p in results.points if p.metric == "latency_p50" and p.offered_rps == 500)
    assert point.estimate is not None
    assert rows[0][3] == time_us(point.estimate.value)
    (note,) = summary_notes(results)
    assert note.startswith("No column for p99.99 at 500/s: only ")


def row(workload: str, verdict: Verdict, why: str) -> Row:
    estimate = Estimate(value=1.0, low=0.9, high=1.1, n=3)
    return Row(
        variant="linux-echo",
        workload=workload,
        offered_rps=100.0,
        metric="latency_p999",
        unit="us",
        before=estimate,
        after=estimate,
        ratio=estimate,
        verdict=verdict,
        why=why,
    )


def test_a_comparison_says_each_reason_once() -> None:
    few = "2 valid repetitions; 3 are needed"
    late = "no valid repetition in A: the largest was 2000000 ns; the largest was 1000000 ns"
    rows = [
        row("64 B", Verdict.SLOWER, "ratio 1.1 to 1.2 lies beyond 5.0%"),
        row("64 B", Verdict.INCONCLUSIVE, "ratio 0.9 to 1.2 straddles 5.0%"),
        *[row("64 B", Verdict.INCONCLUSIVE, few)] * 2,
        row("64 B", Verdict.INVALID, late),
    ]
    (only,) = comparisons(rows)
    assert only.title == "linux-echo"
    assert only.headers[0] == "metric"
    assert only.rows[0][:2] == ["p99.9", "100"]
    assert only.notes == [
        f"2 × {few}",
        "1 × no valid repetition in A: the largest was 1 ms (and 1 more)",
    ]


def test_comparisons_of_a_sweep_are_titled_and_sorted_by_its_value() -> None:
    names = ["echo, 16 connections", "echo, 8 connections"]
    found = comparisons([row(name, Verdict.SAME, "") for name in names])
    assert [part.title for part in found] == [f"linux-echo, {name}" for name in reversed(names)]


@pytest.mark.parametrize(
    ("metric", "unit", "heading"),
    [
        ("instructions_per_request", "instructions/request", "instructions per request"),
        ("instructions_per_request_user", "instructions/request", "instructions per request, user"),
        ("locked_per_request", "instructions/request", "locked instructions per request"),
        (
            "locked_per_request_user",
            "instructions/request",
            "locked instructions per request, user",
        ),
        ("barriers_per_request_user", "barriers/request", "barriers per request, user"),
        ("goodput", "Mbit/s", "goodput (Mbit/s)"),
        ("latency_p99", "us", "p99"),
    ],
)
def test_a_heading_tells_a_unit_once(metric: str, unit: str, heading: str) -> None:
    assert spoken(metric, unit) == heading


def test_a_summary_without_any_number_is_all_labels() -> None:
    assert label_count([]) == 0
    assert label_count(["variant", "connections>"]) == 2
    assert label_count(["variant", "requests/s>", "p50>"]) == 1
