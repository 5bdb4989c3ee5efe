# SPDX-License-Identifier: Apache-2.0
"""Claims: verdicts on expressions, and reasons where there is none."""

from pathlib import Path
from typing import Any

import pytest
from simulated_run import LOADS, QUICKSTART, RunBuilder, quickstart

from orchestrator.analysis import ClaimResult, Outcome, Results, build_results
from orchestrator.analysis.claims import Evaluator


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return build_results(quickstart(tmp_path_factory.mktemp("runs") / "quick"))


def evaluate(results: Results, expression: str, **more: Any) -> ClaimResult:
    evaluator = Evaluator(results.points, results.records, results.summaries)
    return evaluator.evaluate({"text": "t", "expression": expression, "source": "s", **more})


HOLDS = [
    "linux-echo-reuseport.achieved_rps > linux-echo-single.achieved_rps * 1.1",
    "linux-echo-single.achieved_rps < 6000 < linux-echo-reuseport.achieved_rps",
    "linux-echo-single.latency_p99[load=7000] > 10 * linux-echo-single.latency_p99[load=500]",
    "linux-echo-single.latency_p50 < 1000",
    "linux-echo-reuseport.accept_jain_index > linux-echo-single.accept_jain_index + 10%",
    "abs(linux-echo-single.syscalls_per_request - 2.72) < 0.01",
    "max(linux-echo-single.accept_jain_index, 0.9) == 0.9",
    "min(1, 2, linux-echo-single.accept_jain_index) >= 0.5",
    "-linux-echo-single.achieved_rps / 2 + 3 <= 0",
    "linux-echo-reuseport.max_load_under_slo > linux-memcached.max_load_under_slo",
]


@pytest.mark.parametrize("expression", HOLDS)
def test_true_claims_are_reproduced(results: Results, expression: str) -> None:
    found = evaluate(results, expression)
    assert found.outcome is Outcome.REPRODUCED, found.reason
    assert found.holds >= 0.95 and found.measured and found.clock == "wall"


def test_false_claims_are_not(results: Results) -> None:
    found = evaluate(results, "linux-echo-reuseport.achieved_rps < linux-echo-single.achieved_rps")
    assert (found.outcome, found.undecided) == (Outcome.NOT_REPRODUCED, False)
    assert found.holds == 0.0


UNMEASURABLE = [
    ("other.achieved_rps > 1", "needs other.achieved_rps: this run has no such point"),
    ("linux-echo-single.achieved_rps[load=123] > 1", "no such point"),
    ("linux-memcached.accept_jain_index > 0", "linux-memcached.accept_jain_index was not measured"),
    ("linux-memcached.achieved_rps[load=7000] > 1", "no valid trial: schedule adherence"),
    ("1 / (linux-echo-single.achieved_rps * 0) > 1", "divides by a metric that is 0"),
    ("linux-echo-single.achieved_rps >", "cannot be read"),
    ("nonsense", "cannot be read"),
]


@pytest.mark.parametrize(("expression", "why"), UNMEASURABLE)
def test_what_cannot_be_measured_says_why(results: Results, expression: str, why: str) -> None:
    found = evaluate(results, expression)
    assert found.outcome is Outcome.NOT_MEASURABLE and not found.undecided
    assert why in found.reason


def test_another_clock_is_not_measurable_here(results: Results) -> None:
    found = evaluate(results, "linux-echo-single.achieved_rps > 1", clock="virtual")
    assert found.outcome is Outcome.NOT_MEASURABLE
    assert "needs the virtual clock" in found.reason
    same = evaluate(results, "linux-echo-single.achieved_rps > 1", clock="wall")
    assert same.outcome is Outcome.REPRODUCED


def test_repetitions_that_disagree_decide_nothing(results: Results) -> None:
    middle = results.points.curve(results.points.series[0], "latency_p99")[0].estimate
    assert middle is not None and middle.low < middle.value < middle.high
    limit = (middle.value + middle.high) / 2
    found = evaluate(results, f"linux-echo-single.latency_p99[load=500] < {limit}")
    assert (found.outcome, found.undecided) == (Outcome.NOT_MEASURABLE, True)
    assert "do not decide" in found.reason and 0.05 < found.holds < 0.95


def test_an_objective_out_of_reach_is_not_measurable(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    for offered in LOADS[:2]:
        run.trial(QUICKSTART[0], offered, 0)
    results = build_results(run.finish())
    found = evaluate(results, "linux-echo-single.max_load_under_slo > 1")
    assert (found.outcome, "not reached" in found.reason) == (Outcome.NOT_MEASURABLE, True)
    none = build_results(run.finish(experiment={"name": "x"}))
    assert "names no slo" in evaluate(none, "linux-echo-single.max_load_under_slo > 1").reason


def test_the_claims_of_the_experiment_are_evaluated(results: Results) -> None:
    assert [claim.outcome for claim in results.claims] == [
        Outcome.REPRODUCED,
        Outcome.NOT_REPRODUCED,
        Outcome.NOT_MEASURABLE,
    ]


@pytest.mark.parametrize(
    ("clock", "repetitions", "undecided", "why"),
    [
        ("wall", 1, True, "1 valid repetition on the wall clock; 3 are needed"),
        ("wall", 2, True, "2 valid repetitions on the wall clock; 3 are needed"),
        ("wall", 3, False, "3 repetitions give at most 75% confidence"),
        ("virtual", 1, False, "a measurement on the virtual clock is exact"),
    ],
)
def test_few_repetitions_decide_only_on_the_virtual_clock(
    tmp_path: Path, clock: str, repetitions: int, undecided: bool, why: str
) -> None:
    run = RunBuilder(tmp_path, clock)
    for repetition in range(repetitions):
        run.trial(QUICKSTART[0], 500.0, repetition)
    found = evaluate(build_results(run.finish()), "linux-echo-single.achieved_rps > 1")
    assert (found.undecided, why in found.reason) == (undecided, True), found.reason
