# SPDX-License-Identifier: Apache-2.0
"""Comparing two runs: verdicts, and what is refused."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, RunBuilder

from orchestrator.analysis import Points, Results, Row, Verdict, build_results, compare
from orchestrator.analysis.compare import judge
from orchestrator.analysis.points import Point, Sample, Series
from orchestrator.analysis.statistics import Estimate, median_interval
from orchestrator.errors import UsageError

ECHO = QUICKSTART[1]
SERIES = Series(variant="v", stack="linux", app="echo", workload="w", clock="wall")


def points(
    values: list[float],
    metric: str = "latency_p99",
    *,
    series: Series = SERIES,
    offered: float = 1000.0,
    direction: str = "lower",
) -> Points:
    valid = tuple(
        Sample(trial=str(n), repetition=n, value=value, reason="") for n, value in enumerate(values)
    )
    invalid = () if values else (Sample(trial="x", repetition=0, value=1.0, reason="late"),)
    point = Point(
        series=series,
        offered_rps=offered,
        metric=metric,
        unit="us",
        direction=direction,
        estimate=median_interval(values) if values else None,
        valid=valid,
        invalid=invalid,
    )
    return Points([point])


def verdict(before: list[float], after: list[float], direction: str = "lower") -> Row:
    rows = compare(
        points(before, direction=direction),
        points(after, direction=direction),
        metrics=("latency_p99",),
    )
    assert len(rows) == 1
    return rows[0]


def test_verdicts() -> None:
    base = [100.0, 101.0, 102.0]
    assert verdict(base, base).verdict is Verdict.SAME
    assert verdict(base, [50.0, 51.0, 52.0]).verdict is Verdict.FASTER
    assert verdict(base, [150.0, 151.0, 152.0]).verdict is Verdict.SLOWER
    assert verdict(base, [150.0, 151.0, 152.0], "higher").verdict is Verdict.FASTER
    assert verdict(base, [99.0, 120.0, 130.0]).verdict is Verdict.INCONCLUSIVE
    assert verdict(base, [200.0, 201.0, 202.0], "none").verdict is Verdict.INCONCLUSIVE


def test_few_or_no_repetitions_decide_nothing() -> None:
    row = verdict([100.0, 100.0], [200.0, 200.0])
    assert row.verdict is Verdict.INCONCLUSIVE and "3 are needed" in row.why
    row = verdict([100.0] * 3, [])
    assert row.verdict is Verdict.VOID and "late" in row.why and row.after is None


def test_zero_has_no_ratio() -> None:
    assert verdict([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).verdict is Verdict.INCONCLUSIVE


def test_a_point_of_one_run_only_is_not_measured() -> None:
    rows = compare(points([1.0]), points([1.0], offered=2000.0), metrics=("latency_p99",))
    assert [(row.offered_rps, row.verdict) for row in rows] == [
        (1000.0, Verdict.NOT_MEASURED),
        (2000.0, Verdict.NOT_MEASURED),
    ]


def test_clocks_are_never_compared() -> None:
    virtual = dataclasses.replace(SERIES, clock="virtual")
    with pytest.raises(UsageError, match="wall clock against virtual clock"):
        compare(points([1.0]), points([1.0], series=virtual))
    both = Points([*points([1.0]), *points([1.0], series=virtual)])
    with pytest.raises(UsageError, match="cannot be compared"):
        compare(both, both)


def test_runs_without_anything_in_common_are_refused() -> None:
    other = dataclasses.replace(SERIES, variant="other")
    with pytest.raises(UsageError, match="nothing|no variant"):
        compare(points([1.0]), points([1.0], series=other))


def test_the_threshold_is_symmetric_in_the_ratio() -> None:
    at = Estimate(value=1.05, low=1.05, high=1.05, n=3)
    assert judge(at, "lower", 0.05)[0] is Verdict.SAME
    inverse = Estimate(value=1 / 1.05, low=1 / 1.05, high=1 / 1.05, n=3)
    assert judge(inverse, "lower", 0.05)[0] is Verdict.SAME


def measured(root: Path, factor: float) -> Results:
    run = RunBuilder(root)
    variant = dataclasses.replace(ECHO, floor_ns=int(ECHO.floor_ns * factor))
    for repetition in range(3):
        for offered in (500.0, 1500.0):
            path = run.trial(variant, offered, repetition) / "trial.json"
            assert json.loads(path.read_text())["variant"] == ECHO.name
    return build_results(run.finish())


def test_two_runs(tmp_path: Path) -> None:
    first, slow = measured(tmp_path / "a", 1.0), measured(tmp_path / "b", 2.0)
    rows = compare(first.points, slow.points, metrics=("latency_p50", "achieved_rps"))
    assert {row.verdict for row in rows if row.metric == "latency_p50"} == {Verdict.SLOWER}
    assert Verdict.FASTER not in {row.verdict for row in rows}
    again = compare(first.points, first.points)
    # 500 requests do not resolve p99.9: neither run has a value that counts.
    few = [row for row in again if row.verdict is Verdict.VOID]
    assert {row.metric for row in few} <= {"latency_p999"}
    settled = {row.verdict for row in again if row not in few}
    assert settled <= {Verdict.SAME, Verdict.INCONCLUSIVE}
    assert all(row.ratio is None or math.isclose(row.ratio.value, 1.0) for row in again)
