# SPDX-License-Identifier: Apache-2.0
"""False alarms, detections and thresholds, over sides whose values are known."""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator import paths
from orchestrator.analysis import power as analysis
from orchestrator.analysis import verdicts
from orchestrator.analysis.cells import Cell, Key
from orchestrator.analysis.points import Sample
from orchestrator.analysis.power import Power, alarmed, derive, detected, examine, sensitivities
from orchestrator.analysis.thresholds import threshold_for
from orchestrator.analysis.verdicts import Verdict
from orchestrator.errors import UsageError
from orchestrator.report import power as report
from orchestrator.run.neutral import Kind
from orchestrator.run.power import Side
from orchestrator.spec import Part, find_suite, load_suite

SUITE, PARTS = load_suite(find_suite("power"))
SOURCE = {"commit": "0123456789abcdef", "dirty": False}
OWN = [part for part in PARTS if part.name == "echo"]


def cells(side: Side, scale: float) -> list[Cell]:
    """Five seeds; the cost of a request is 20,000 instructions of which 2,000 are the program's."""
    values = {"instructions_per_request": 20_000.0, "instructions_per_request_user": 2_000.0}
    found = []
    for metric, value in values.items():
        key = Key(
            experiment=side.part.name,
            variant="v",
            stack="linux",
            app=side.part.name,
            workload="w",
            clock="virtual",
            offered_rps=4000.0,
            metric=metric,
        )
        samples = tuple(
            Sample(
                trial=str(number),
                repetition=number,
                value=(value + 2 * side.rounds) * (1.0 + number / 100) * scale,
                reason="",
                seed=10 * side.seed + number,
            )
            for number in range(1, 6)
        )
        found.append(Cell(key=key, unit="i", direction="lower", valid=samples))
    return found


def power(scale: Callable[[Side], float] = lambda _: 1.0, pairs: int = 36) -> Power:
    return examine(PARTS, OWN, pairs, lambda side: cells(side, scale(side)), 0.01)


def test_added_work_is_found_where_it_was_added() -> None:
    found = power()
    assert len(found.same) == len(found.slowed) == 36
    assert alarmed(found) == 0 and detected(found) == 36
    rows = {one.metric: one for one in sensitivities(found)}
    assert rows["instructions_per_request_user"].found == 36
    assert rows["instructions_per_request_user"].slowdown == pytest.approx(0.1, rel=0.05)
    assert rows["instructions_per_request"].slowdown == pytest.approx(0.01, rel=0.05)
    # The threshold of the sum is known to be larger than what was added.
    assert {(one.pairs, one.slowed, one.alarms) for one in rows.values()} == {(36, 36, 0)}
    assert report.headline(found).endswith(
        "found in 36 of 36 pairs: by instructions_per_request_user in 36"
    )


def test_only_what_a_request_costs_finds_added_work() -> None:
    """A latency or the client's instructions that grow beside it prove nothing."""

    def bench(side: Side) -> list[Cell]:
        total = cells(side, 1.0)[0]
        other = 2.0 if side.rounds else 1.0
        found = [total]
        for metric in ("latency_p99", "client_instructions_per_request"):
            cell = scaled(total, other)
            found.append(replace(cell, key=replace(cell.key, metric=metric)))
        return found

    found = examine(PARTS, OWN, 12, bench, 0.01)
    rows = {one.metric: one for one in sensitivities(found)}
    assert rows["latency_p99"].found == rows["client_instructions_per_request"].found == 12
    assert detected(found) == 0 and analysis.finders(found) == []
    assert report.headline(found).endswith("found in 0 of 12 pairs")


def test_a_neutral_change_beyond_the_threshold_is_an_alarm() -> None:
    def scale(side: Side) -> float:
        return 1.5 if str(side.change) == "order-4" and not side.rounds else 1.0

    found = power(scale)
    assert alarmed(found) == 1
    row = sensitivities(found)[0]
    assert (row.alarms, row.unseen) == (1, 1)
    assert row.largest == pytest.approx(0.5) and row.derived == pytest.approx(0.75)
    assert analysis.by_kind(found, row.metric)["order"] == pytest.approx(0.5)
    assert analysis.by_kind(found, row.metric)["padding"] == 0.0


@pytest.mark.parametrize("pairs", [1, 3, 9, 12, 13, 30, 36])
def test_every_kind_meets_every_experiment_and_every_set_of_seeds(pairs: int) -> None:
    found = power(pairs=pairs)
    assert pairs <= len(found.same) == len(found.slowed) < pairs + 12
    for dealt, parts in ((found.same, PARTS), (found.slowed, OWN)):
        met = Counter((pair.change, pair.experiment, pair.seed) for pair in dealt)
        assert len(met) == len(Kind) * len(parts) * analysis.SEED_SETS
        assert len(set(met.values())) == 1
    counts = {(neutral, slowed) for _, _, neutral, slowed in analysis.coverage(found)}
    assert counts == {(len(found.same) // 4, len(found.slowed) // 2), (len(found.same) // 4, 0)}


def test_other_numbers_of_experiments_are_dealt_evenly() -> None:
    assert analysis.dealt(1, PARTS[:1], PARTS[:1]) == 6
    assert analysis.dealt(13, [*PARTS, PARTS[0]], PARTS) == 36


def test_every_side_is_measured_with_its_seeds() -> None:
    asked: list[Side] = []

    def bench(side: Side) -> list[Cell]:
        asked.append(side)
        return cells(side, 1.0)

    examine(PARTS, OWN, 36, bench, 0.01)
    bases = [side for side in asked if side.change is None]
    assert len(bases) == len(PARTS) * analysis.SEED_SETS
    neutral = [side for side in asked if side.change is not None and not side.rounds]
    met = {(side.part.name, side.seed, side.change.kind) for side in neutral if side.change}
    assert len(met) == len(PARTS) * analysis.SEED_SETS * 3
    slowed = [side for side in asked if side.rounds]
    assert {side.part.name for side in slowed} == {"echo"}
    # A percent of 20,600 instructions, the median, in rounds of two.
    assert {side.rounds for side in slowed} == {103}


def test_the_rule_of_thresholds() -> None:
    assert derive([]) == derive([0.001]) == 0.005
    assert derive([0.001, 0.004]) == pytest.approx(0.006)
    assert derive([0.0101]) == pytest.approx(0.016)


def test_the_document_says_which_pairs_it_rests_on() -> None:
    committed = paths.project("docs", "detection-power.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d) \| (\d+) \| (\d+) \|$", committed, re.MULTILINE)
    assert {name for name, *_ in rows} == {part.name for part in PARTS}
    neutral, slowed = (sum(int(row[column]) for row in rows) for column in (2, 3))
    assert f"false alarms in {neutral} neutral pairs" in committed
    assert f"of {slowed} pairs: by instructions_per_request_user in" in committed


def called(metric: str, ratio: float) -> Verdict:
    """What the verdicts say when every seed changed by this ratio."""
    value = Sample(trial="1", repetition=1, value=1e6, reason="", seed=1)
    (judged,) = verdicts.judge(
        [
            verdicts.Pair(
                metric=metric,
                clock="virtual",
                direction="lower",
                before=verdicts.Side(valid=(value,)),
                after=verdicts.Side(valid=(replace(value, value=1e6 * ratio),)),
            )
        ]
    )
    return judged.verdict


@pytest.mark.parametrize("metric", ["latency_p50", "latency_p99", "instructions_per_request"])
@pytest.mark.parametrize("largest", [0.0, 0.0165, 0.0795])
def test_what_is_surely_seen_is_seen_behind_the_largest_neutral_change(
    metric: str, largest: float
) -> None:
    threshold = threshold_for(metric, "virtual").share
    least = analysis.surely_seen(threshold, largest)
    seen, neutral = 1.0 + least + 1e-6, 1.0 + largest
    assert called(metric, seen / neutral) is Verdict.SLOWER
    assert called(metric, neutral / seen) is Verdict.FASTER
    # A tenth of a percent less may be hidden.
    assert called(metric, (seen - 0.001) / neutral) is Verdict.SAME


def test_the_thresholds_in_force_follow_from_what_was_measured() -> None:
    """The document's columns agree: what was derived is what is in force."""
    committed = paths.project("docs", "detection-power.md").read_text(encoding="utf-8")
    rows = [
        line.strip("| ").split(" | ") for line in committed.splitlines() if line.startswith("| ")
    ]
    rows = [cells for cells in rows if "_" in cells[0]]
    assert {cells[0] for cells in rows} == {metric for part in PARTS for metric in part.metrics}
    for metric, _, largest, derived, in_force, *more in rows:
        share = threshold_for(metric, "virtual").share
        assert derived == in_force == f"{share:.1%}"
        why = threshold_for(metric, "virtual").why
        assert f"measured, {largest} " in why or why == "default of the virtual clock"
        least = analysis.surely_seen(share, float(largest.rstrip("%")) / 100)
        assert more[-2] == f"{least:.1%}"


def test_other_seeds_are_not_compared() -> None:
    apart, said = analysis.between_seeds(power(), "instructions_per_request")
    assert said == {Verdict.NOT_MEASURED} and apart == 0.0


def without(side: Side, drop: Callable[[Side, Cell], bool]) -> list[Cell]:
    return [cell for cell in cells(side, 1.0) if not drop(side, cell)]


def test_metrics_of_one_experiment_only_are_judged_there() -> None:
    """The experiments of a suite may name different metrics; empty columns say so."""

    def drop(side: Side, cell: Cell) -> bool:
        kept = "memcached" if cell.key.metric.endswith("_user") else "echo"
        return side.part.name != kept

    found = examine(PARTS, OWN, 12, lambda side: without(side, drop), 0.01)
    rows = {one.metric: one for one in sensitivities(found)}
    user = rows["instructions_per_request_user"]
    assert (user.pairs, user.slowed, user.unjudged) == (6, 0, 0)
    assert user.slowdown is None and user.largest == 0.0
    assert report.row(user)[7:9] == ["–", "–"]
    assert rows["instructions_per_request"].slowed == 12
    assert report.page(found, SUITE, SOURCE, "x")


def test_what_one_side_lacks_is_not_measured() -> None:
    def drop(side: Side, cell: Cell) -> bool:
        return str(side.change) == "order-1" and cell.key.metric.endswith("_user")

    found = examine(PARTS, OWN, 12, lambda side: without(side, drop), 0.01)
    row = {one.metric: one for one in sensitivities(found)}["instructions_per_request_user"]
    assert (row.pairs, row.slowed, row.unjudged) == (11, 11, 2)
    assert analysis.unjudged(found) == 2 and alarmed(found) == 0
    assert "could not be judged in a metric: 2" in report.headline(found)


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_changes_that_no_share_expresses_derive_nothing(value: float) -> None:
    """To zero is a change with a verdict; infinity says nothing."""

    def bench(side: Side) -> list[Cell]:
        odd = str(side.change) == "padding-1" and not side.rounds
        found = cells(side, 1.0)
        return [spoilt(cell, value) for cell in found] if odd else found

    found = examine(PARTS, OWN, 12, bench, 0.01)
    judged = value == 0.0
    for row in sensitivities(found):
        assert (row.pairs, row.alarms, row.unseen) == (11 + judged, judged, judged)
        assert row.unjudged == (not judged)
        assert (row.largest, row.derived) == (0.0, 0.005)
    assert alarmed(found) == judged
    assert "inf" not in report.page(found, SUITE, SOURCE, "x")


def test_void_repetitions_leave_empty_columns() -> None:
    def bench(side: Side) -> list[Cell]:
        void = side.change is not None
        return [replace(cell, valid=() if void else cell.valid) for cell in cells(side, 1.0)]

    found = examine(PARTS, OWN, 12, bench, 0.01)
    for row in sensitivities(found):
        assert (row.pairs, row.slowed, row.unjudged) == (0, 0, 24)
        assert row.middle is row.largest is row.derived is row.slowdown is row.least is None
        assert report.row(row)[1:4] == ["–"] * 3
    assert report.page(found, SUITE, SOURCE, "x")


def scaled(cell: Cell, by: float) -> Cell:
    return replace(
        cell, valid=tuple(replace(sample, value=sample.value * by) for sample in cell.valid)
    )


def spoilt(cell: Cell, value: float) -> Cell:
    return replace(cell, valid=tuple(replace(sample, value=value) for sample in cell.valid))


def test_without_the_cost_nothing_can_be_added() -> None:
    def bench(side: Side) -> list[Cell]:
        return cells(side, 1.0)[1:]

    with pytest.raises(UsageError, match="instructions_per_request was not measured"):
        examine(PARTS, OWN, 3, bench, 0.01)


def test_the_page_is_the_document() -> None:
    """It can be written again: every heading of the document comes from the template."""
    found = power()
    text = report.page(found, SUITE, SOURCE, "./ringbed power power")
    committed = paths.project("docs", "detection-power.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in committed.splitlines() if line.startswith("#")
    ]
    assert "10 % of what its program does" in text
    assert "0 false alarms in 36 neutral pairs" in text and "found in 36 of 36" in text
    assert "| memcached | 2 | 9 | 0 |" in text


@pytest.mark.parametrize(
    ("share", "asked", "of_program"),
    [
        (0.01, "1%", "10 %"),
        (0.002, "0.2%", "2.1 %"),
        (0.0123, "1.23%", "13 %"),
        (1.0, "100%", "1000"),
    ],
)
def test_a_share_is_shown_as_it_was_asked_for(share: float, asked: str, of_program: str) -> None:
    found = examine(PARTS, OWN, 12, lambda side: cells(side, 1.0), share)
    assert f"; {asked} more instructions per request" in report.headline(found)
    assert f"with {asked} more work>" in report.headers(share)
    text = report.page(found, SUITE, SOURCE, "x")
    assert f"**With {asked.replace('%', ' %')} more work**" in text
    assert f"for a request is {of_program}" in text


def test_parts_of_the_suite_are_cells_of_the_nightly() -> None:
    nightly = load_suite(find_suite("nightly"))[1]
    measured = {metric for part in PARTS for metric in part.metrics}
    assert {metric for part in nightly for metric in part.metrics} <= measured


def test_parts_are_on_the_virtual_clock() -> None:
    assert all(isinstance(part, Part) and part.experiment.clock == "virtual" for part in PARTS)
