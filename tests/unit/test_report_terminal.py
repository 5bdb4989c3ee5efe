# SPDX-License-Identifier: Apache-2.0
"""The rows of the terminal: swept keys named and sorted, reasons in units that people read."""

from pathlib import Path

from simulated_run import connections, quickstart

from orchestrator.analysis import Estimate, Row, Verdict, build_results
from orchestrator.report import comparisons, summary_rows
from orchestrator.report.terminal import FIRST_NUMBER, in_words


def test_rows_of_a_sweep_name_the_key_and_stand_by_its_value(tmp_path: Path) -> None:
    headers, rows = summary_rows(build_results(connections(tmp_path / "run")))
    assert headers[:3] == ["variant", "connections>", FIRST_NUMBER]
    for variant in {row[0] for row in rows}:
        values = [int(row[1]) for row in rows if row[0] == variant]
        assert len(values) > 2
        assert values == sorted(values)


def test_without_a_sweep_the_variant_is_enough(tmp_path: Path) -> None:
    headers, rows = summary_rows(build_results(quickstart(tmp_path / "run")))
    assert headers[:2] == ["variant", FIRST_NUMBER]
    assert len({row[0] for row in rows}) == len(rows) == 3
    assert {len(row) for row in rows} == {len(headers)}


def test_times_in_reasons_have_units_that_people_read() -> None:
    reason = "handed over within 1000000 ns (largest lateness 59846414 ns), 12 ns, 5330 requests"
    told = "handed over within 1.00 ms (largest lateness 59.8 ms), 0.0120 µs, 5330 requests"
    assert in_words(reason) == told


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
        "1 × no valid repetition in A: the largest was 1.00 ms (and 1 more)",
    ]


def test_comparisons_of_a_sweep_are_titled_and_sorted_by_its_value() -> None:
    names = ["echo, 16 connections", "echo, 8 connections"]
    found = comparisons([row(name, Verdict.SAME, "") for name in names])
    assert [part.title for part in found] == [f"linux-echo, {name}" for name in reversed(names)]
