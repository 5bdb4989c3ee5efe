# SPDX-License-Identifier: Apache-2.0
"""What a request costs the dataplane: figures against bars, and the section of the page."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.analysis import costs
from orchestrator.analysis.costs import CASES, Costs, Figure
from orchestrator.analysis.stages import DRIVER_IN, DRIVER_OUT, TCP_IN, Breakdown
from orchestrator.cli.main import app
from orchestrator.errors import UsageError
from orchestrator.report import costs as views
from orchestrator.report.performance import replace_section
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import make_plan
from orchestrator.spec import find_experiment, load_experiment

ECHO, MANY = CASES[0], next(case for case in CASES if case.name == "many")
MANIFEST = {
    "ringbed": {"commit": "1234567890abcdef", "dirty": False},
    "experiment": {"links": [{"ends": [{"nic": "igb"}, {"nic": "igb"}]}]},
}
STAGES = Breakdown(instructions={DRIVER_IN: 100, DRIVER_OUT: 200, TCP_IN: 700}, requests=1)


def figure(case: costs.Case, value: float, against: float, why: str = "") -> Figure:
    return Figure(
        case=case,
        value=value,
        against=against,
        batch=16.04,
        idle=0.25,
        beside=14_000,
        floor=300 if case.floor else math.nan,
        why=why,
    )


def found(*figures: Figure, round_trip_us: float = 3.0) -> Costs:
    return Costs(
        figures=figures,
        floor=150,
        floor_batch=31.5,
        round_trip_us=round_trip_us,
        linux_round_trip_us=60,
    )


def test_a_bar_is_met_up_to_its_value() -> None:
    assert figure(ECHO, 900, 900).met is True
    assert figure(ECHO, 900.1, 900.1).met is False
    assert figure(MANY, 1000, 1.06).met is False
    assert figure(replace(ECHO, bar=None), 9000, 9000).met is None
    assert figure(ECHO, math.nan, math.nan, "not measured").met is None
    assert not found(figure(ECHO, 900, 900)).missed
    assert found(figure(ECHO, 901, 901)).missed
    assert found(figure(ECHO, 900, 900), round_trip_us=3.6).missed


def test_cells_say_what_was_compared() -> None:
    assert views.row(figure(ECHO, 899.6, 899.6))[1:] == [
        "900",
        "–",
        "≤ 900",
        "met",
        "16.0",
        "25.0%",
        "3.00",
        "14,000",
    ]
    assert views.row(figure(MANY, 990, 1.1))[-2] == "–"
    assert views.row(figure(MANY, 990, 1.1))[2:5] == ["1.100 × echo", "≤ 1.05 ×", "missed"]
    assert views.row(figure(MANY, math.nan, math.nan, "void"))[1:5] == [
        "–",
        "–",
        "≤ 1.05 ×",
        "not measured",
    ]


def test_the_section_sets_the_driver_beside_the_floor() -> None:
    text = views.section(
        found(figure(ECHO, 1000, 1000), figure(MANY, math.nan, math.nan, "void")), STAGES, MANIFEST
    )
    assert "of commit `1234567890`, `igb to igb`, one core" in text
    assert "| driver, in | 100.0 | 10.0% |" in text and "| all | 1,000.0 |" in text
    assert "is 300.0, 2.00 times of that; the whole request is 6.67 floors" in text
    assert "3.00 µs, against a bar of\n3.50 µs: met" in text and "20.0 times as long" in text
    assert "- Not measured: 64-byte echo, 1,024 connections: void.\n" in text


def test_a_section_is_written_between_its_marks() -> None:
    first = replace_section("", "dataplane", "## One\n", file="page")
    assert first.startswith("# What the dataplane costs\n")
    assert "<!-- begin dataplane -->\n## One\n<!-- end dataplane -->" in first
    again = replace_section(first, "dataplane", r"## Two \1", file="page")
    assert "## One" not in again and r"## Two \1" in again
    assert "<!-- begin library -->\n<!-- end library -->" in again
    with pytest.raises(UsageError, match="page has no section 'library'"):
        replace_section("# Another page\n", "library", "", file="page")


def test_a_page_without_the_section_is_refused_at_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Another page\n")
    done = CliRunner().invoke(app, ["perf", "--dataplane", "--page", str(page)])
    assert isinstance(done.exception, UsageError)
    assert page.read_text() == "# Another page\n"


@pytest.mark.parametrize(
    "words",
    [("--run", "latest"), ("--set", "seed=2"), ("--dataplane", "--run", "r", "--set", "seed=2")],
)
def test_what_is_for_the_dataplane_alone_is_refused_elsewhere(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["perf", *words])
    assert isinstance(done.exception, UsageError)


def test_the_experiment_measures_every_case() -> None:
    experiment = load_experiment(find_experiment(costs.EXPERIMENT))
    plan = make_plan(experiment, Drivers(), inputs={})
    measured = {(trial.variant, trial.workload.connections) for trial in plan.trials}
    wanted = [case.at for case in CASES] + [case.beside for case in CASES if case.beside]
    wanted += [case.floor for case in CASES if case.floor]
    wanted += [costs.FLOOR_AT, costs.ROUND_TRIP_AT, costs.LINUX_ROUND_TRIP_AT]
    assert {(place.variant, place.connections) for place in wanted} <= measured
