# SPDX-License-Identifier: Apache-2.0
"""Comparing two runs: verdicts, and what is refused."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, RunBuilder

from orchestrator.analysis import Points, Results, Row, Verdict, build_results, compare
from orchestrator.analysis.points import Point, Sample, Series
from orchestrator.analysis.statistics import median_interval
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
    base = [100.0, 101.0, 102.0, 101.5]
    assert verdict(base, base).verdict is Verdict.SAME
    assert verdict(base, [50.0, 51.0, 52.0, 51.5]).verdict is Verdict.FASTER
    assert verdict(base, [150.0, 151.0, 152.0, 151.5]).verdict is Verdict.SLOWER
    assert verdict(base, [150.0, 151.0, 152.0, 151.5], "higher").verdict is Verdict.FASTER
    assert verdict(base, [99.0, 120.0, 130.0, 125.0]).verdict is Verdict.INCONCLUSIVE
    assert verdict(base, [200.0, 201.0, 202.0, 201.5], "none").verdict is Verdict.INCONCLUSIVE


def test_few_or_no_repetitions_decide_nothing() -> None:
    row = verdict([100.0, 100.0], [200.0, 200.0])
    assert row.verdict is Verdict.INCONCLUSIVE and "3 are needed" in row.why
    row = verdict([100.0] * 3, [])
    assert row.verdict is Verdict.INVALID and "late" in row.why and row.after is None


def test_zero_has_no_ratio() -> None:
    assert verdict([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).verdict is Verdict.INCONCLUSIVE


def test_a_point_of_one_run_only_is_not_measured() -> None:
    rows = compare(points([1.0]), points([1.0], offered=2000.0), metrics=("latency_p99",))
    assert [(row.offered_rps, row.verdict) for row in rows] == [
        (1000.0, Verdict.NOT_MEASURED),
        (2000.0, Verdict.NOT_MEASURED),
    ]


def test_a_side_without_a_valid_repetition_is_named_with_its_own_reasons() -> None:
    assert verdict([], [1.0]).why == "no valid repetition in A: late"
    assert verdict([1.0], []).why == "no valid repetition in B: late"
    assert verdict([], []).why == "no valid repetition in A and B: late"
    (good,), (bad,) = points([1.0]), points([])
    slow = dataclasses.replace(bad.invalid[0], reason="slow")
    rows = compare(
        Points([bad]), Points([dataclasses.replace(good, invalid=(slow,))]), metrics=(good.metric,)
    )
    assert rows[0].why == "no valid repetition in A: late"


def test_medians_on_the_virtual_clock_are_of_the_seeds_in_common() -> None:
    virtual = dataclasses.replace(SERIES, clock="virtual")
    (point,) = points([40.0, 50.0, 60.0], series=virtual)
    seeded = [dataclasses.replace(one, seed=one.repetition) for one in point.valid]
    before = dataclasses.replace(point, valid=tuple(seeded[:1]), estimate=median_interval([40.0]))
    after = dataclasses.replace(point, valid=tuple(seeded))
    (row,) = compare(Points([before]), Points([after]), metrics=(point.metric,))
    assert row.before is not None and row.after is not None and row.ratio is not None
    assert (row.before.value, row.after.value, row.ratio.value) == (40.0, 40.0, 1.0)


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


def measured(root: Path, factor: float) -> Results:
    run = RunBuilder(root)
    variant = dataclasses.replace(ECHO, floor_ns=int(ECHO.floor_ns * factor))
    for repetition in range(6):
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
    few = [row for row in again if row.verdict is Verdict.INVALID]
    assert {row.metric for row in few} <= {"latency_p999"}
    settled = {row.verdict for row in again if row not in few}
    assert settled <= {Verdict.SAME, Verdict.INCONCLUSIVE}
    assert all(row.ratio is None or math.isclose(row.ratio.value, 1.0) for row in again)
