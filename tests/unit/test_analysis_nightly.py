# SPDX-License-Identifier: Apache-2.0
"""Nightly results, baselines and history: what is written is what is read, and what it means."""

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, RunBuilder

from orchestrator.analysis import Verdict, baseline, build_results, history, nightly
from orchestrator.analysis.baseline import Baseline, Measurement
from orchestrator.analysis.cells import Cell, Key, cells_of, find_cell
from orchestrator.analysis.nightly import About, Nightly, Part, judge_all
from orchestrator.analysis.points import Sample
from orchestrator.cli.nightly import exit_code, trend
from orchestrator.errors import ExitCode, InfrastructureError, UsageError
from orchestrator.report import write_nightly, write_trends
from orchestrator.report.junit import junit
from orchestrator.report.nightly import markdown, page

KEY = Key(
    experiment="quick",
    variant="echo",
    stack="linux",
    app="echo",
    workload="open, 16 connections",
    clock="virtual",
    offered_rps=4000.0,
    metric="latency_p90",
)
ABOUT = About(
    name="20260101T000000Z-small-abc123",
    suite="small",
    title="Small & <fine>",
    commit="c" * 40,
    subject="Change <something> | else",
    dirty=False,
    started="2026-01-01T00:00:00Z",
    seconds=12.0,
    host="a CPU, 2 cores, kvm guests",
)
PART = Part(name="quick", file="experiments/quick", overrides=(), run="20260101T000000Z-quick-1")


def cell(*values: float, key: Key = KEY, void: tuple[str, ...] = ()) -> Cell:
    samples = [
        Sample(trial=f"t{n}", seed=n, repetition=n, value=value, reason="")
        for n, value in enumerate(values, 1)
    ]
    nan = float("nan")
    lost = [Sample(trial="v", seed=0, repetition=0, value=nan, reason=reason) for reason in void]
    return Cell(key=key, unit="us", direction="lower", valid=tuple(samples), invalid=tuple(lost))


def accepted(*cells: Cell, host: str = "") -> Baseline:
    measured = Measurement(source="before", commit="b" * 40, host=host, cells=cells)
    return baseline.accept("small", [measured], "2025-12-31T00:00:00Z")


def of(*cells: Cell, against: Baseline | None, failure: str = "") -> Nightly:
    return judge_all(ABOUT, [dataclasses.replace(PART, failure=failure)], cells, against)


OTHER = dataclasses.replace(KEY, metric="achieved_rps")
WALL = dataclasses.replace(KEY, clock="wall")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (of(cell(1.0), against=None), ExitCode.NOT_MEASURED),
        (of(cell(1.0), against=accepted(cell(1.0))), ExitCode.OK),
        (of(cell(0.9), against=accepted(cell(1.0))), ExitCode.OK),
        (of(cell(1.1), against=accepted(cell(1.0))), ExitCode.NOT_MET),
        (of(cell(1.1), against=accepted(cell(1.0)), failure="no disk"), ExitCode.NOT_MET),
        (of(cell(1.0), against=accepted(cell(1.0)), failure="no disk"), ExitCode.NOT_MEASURED),
        (of(against=accepted(cell(1.0)), failure="no disk"), ExitCode.NOT_MEASURED),
        (of(cell(void=("late",)), against=accepted(cell(1.0))), ExitCode.NOT_MEASURED),
        (
            of(cell(1.0, key=WALL), against=accepted(cell(1.0, key=WALL), host=ABOUT.host)),
            ExitCode.INCONCLUSIVE,
        ),
        (of(cell(1.0), cell(1.0, key=OTHER), against=accepted(cell(1.0))), ExitCode.OK),
    ],
)
def test_exit_codes(result: Nightly, code: ExitCode) -> None:
    assert exit_code(result) is code


def test_reasons_of_what_was_not_measured() -> None:
    (new,) = of(cell(1.0), against=None).outcomes
    assert new.judgement.why == "no baseline yet"
    (gone,) = of(against=accepted(cell(1.0)), failure="no disk").outcomes
    assert gone.judgement.why == "no disk"
    walls = [cell(1.0, 1.0, 1.0, key=WALL)]
    (foreign,) = of(*walls, against=accepted(*walls, host="another CPU")).outcomes
    assert foreign.judgement.verdict is Verdict.NOT_MEASURED
    assert "another host: another CPU" in foreign.judgement.why


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    # Repr says NaN as itself, which is not equal to itself.
    wall = [cell(*(float(n) for n in range(10, 18)), key=WALL), cell(2.0, void=("late", "lost"))]
    found = of(*wall, cell(1.0, key=OTHER), against=accepted(*wall, host=ABOUT.host))
    nightly.write(tmp_path, found)
    assert repr(nightly.read(tmp_path)) == repr(found)
    (tmp_path / nightly.FILE).write_text('{"format": 99}')
    with pytest.raises(InfrastructureError, match="format 99"):
        nightly.read(tmp_path)


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = accepted(cell(1.0, 2.0), cell(5.0, key=OTHER))
    path = baseline.write(tmp_path, made)
    assert baseline.read(tmp_path, "small") == made
    assert baseline.list_all(tmp_path) == ["small"]
    lines = path.read_text().splitlines()
    assert sum('"metric"' in line for line in lines) == 2  # a cell a line: diffs are readable
    assert baseline.read(tmp_path, "other") is None
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InfrastructureError, match="cut off"):
        baseline.read(tmp_path, "small")


def test_accepting_several_results() -> None:
    def measured(*cells: Cell, host: str = "h") -> Measurement:
        return Measurement(source="s", commit="c", host=host, cells=cells)

    same = baseline.accept("small", [measured(cell(1.0)), measured(cell(1.0))], "now")
    assert len(same.cells[0].valid) == 1 and same.host == ""
    with pytest.raises(UsageError, match="same seed"):
        baseline.accept("small", [measured(cell(1.0)), measured(cell(1.1))], "now")
    first, second = cell(10, 11, 12, key=WALL), cell(11, 12, 13, key=WALL)
    made = baseline.accept("small", [measured(first), measured(second)], "now")
    assert len(made.cells[0].valid) == 6
    assert made.cells[0].noise == (1 / 11,)
    with pytest.raises(UsageError, match="different hosts"):
        baseline.accept("small", [measured(first), measured(second, host="i")], "now")
    with pytest.raises(UsageError, match="nothing to accept"):
        baseline.accept("small", [measured(cell(void=("late",)))], "now")


def test_cells_of_a_run(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    for repetition in range(6):
        run.trial(QUICKSTART[1], 500.0, repetition)
    results = build_results(run.finish())
    cells = cells_of("quick", results.points, ("latency_p50", "achieved_rps", "no_such"))
    assert [one.key.metric for one in cells] == ["latency_p50", "achieved_rps"]
    assert len({sample.seed for sample in cells[0].valid}) == 6
    assert len(cells[0].noise) == 1  # wall clock: what the two halves differ by


def test_cells_are_found_by_name_pattern_and_words() -> None:
    keys = [KEY, OTHER, dataclasses.replace(KEY, workload="closed")]
    assert find_cell("quick/echo/4000/achieved_rps", keys) is keys[1]
    assert find_cell("*/achieved_*", keys) is keys[1]
    assert find_cell("p90 closed", keys) is keys[2]
    with pytest.raises(UsageError, match="2 cells") as error:
        find_cell("latency_p90", keys)
    assert "open, 16 connections" in error.value.details
    with pytest.raises(UsageError, match="no cell is"):
        find_cell("nonsense", keys)


def nights(tmp_path: Path, values: list[float], key: Key = KEY) -> history.Trend:
    for number, value in enumerate(values):
        about = dataclasses.replace(ABOUT, commit=f"{number:040d}", started=f"2026-01-{number:02}")
        history.append(tmp_path, judge_all(about, [PART], [cell(value, key=key)], None))
    (trend,) = history.read(tmp_path, "small")
    return trend


def test_the_history_knows_the_commit_of_a_change(tmp_path: Path) -> None:
    trend = nights(tmp_path, [1000.0, 1002.0, 999.0, 1010.0, 1011.0])
    assert trend.values == (1000.0, 1002.0, 999.0, 1010.0, 1011.0)
    assert [trend.nights[place].commit for place in trend.changes] == [f"{3:040d}"]
    text = write_trends(tmp_path, "small", [trend]).read_text()
    assert text.count('class="mark"') == 1 and f"{3:040d}"[:7] in text
    assert '<span class="word slower">slower</span>' in text
    assert text.count('class="grid"') == 3 and ">in ms</span>" in text
    assert "Change &lt;something&gt;" in text and "<something>" not in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_a_torn_line_costs_one_night(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nights(tmp_path, [1.0, 1.0])
    path = history.path_of(tmp_path, "small")
    path.write_text(path.read_text()[:-30])
    history.append(tmp_path, of(cell(1.0), against=None))
    (trend,) = history.read(tmp_path, "small")
    assert len(trend.values) == 2 and "skipped" in caplog.text


MANY = of(
    cell(1.1),
    cell(void=("ctrl \x1b]0; <b>",), key=OTHER),
    cell(1.0, key=dataclasses.replace(KEY, metric="latency_p99")),
    cell(1.0, key=dataclasses.replace(KEY, metric="goodput")),
    against=accepted(
        cell(1.0),
        cell(1.0, key=OTHER),
        cell(1.0, key=dataclasses.replace(KEY, metric="latency_p99")),
    ),
    failure="a | trial <failed>",
)


def test_junit_is_what_strict_readers_take() -> None:
    root = ET.fromstring(junit(MANY))
    (suite,) = root
    assert root.tag == "testsuites" and not root.attrib
    cases = suite.findall("testcase")
    required = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time"}
    assert required | {"id", "package", "skipped"} == set(suite.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    tags = [child.tag for child in suite]
    assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    outcomes = [[child.tag for child in case] for case in cases]
    assert outcomes == [["failure"], ["error"], [], ["skipped"], ["error"]]
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[name]) == sum(one == [tag] for one in outcomes)
    assert int(suite.attrib["tests"]) == len(cases)
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        for child in case.findall("failure") + case.findall("error"):
            assert set(child.attrib) == {"message", "type"}
    assert "<b>" in cases[1][0].attrib["message"] and "\x1b" not in junit(MANY)


def test_the_summary_says_the_worst_first() -> None:
    text = markdown(MANY)
    assert text.startswith("# Small & \\<fine\\>: slower\n")
    look, _, others = text.partition("<details>")
    assert "latency\\_p90" in look and "goodput" in others
    assert "Change \\<something\\> \\| else" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) in (7, 8)  # nothing breaks out of its cell


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    text = page(MANY, trends="../x.html")
    assert "<title>Small &amp; &lt;fine&gt;: slower</title>" in text
    assert "a | trial &lt;failed&gt;" in text and "<failed>" not in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    files = write_nightly(tmp_path, MANY, tmp_path / "history")
    assert {path.name for path in files.values()} == {"report.html", "summary.md", "junit.xml"}


@pytest.mark.parametrize(
    ("wanted", "there", "hint"),
    [
        ("nigtly", ("nightly",), "did you mean nightly?"),
        ("nigtly", (), "did you mean nightly?"),
        ("power", ("other",), "it begins with ./ringbed nightly power"),
        ("quickstart", (), "suites: nightly, power"),
    ],
)
def test_a_history_that_is_not_there_says_which_are(
    tmp_path: Path, wanted: str, there: tuple[str, ...], hint: str
) -> None:
    for name in there:
        history.path_of(tmp_path, name).write_text("")
    with pytest.raises(UsageError, match=f"has no history of {wanted}") as caught:
        trend(wanted, history=tmp_path)
    assert caught.value.hint == hint
    assert all(name in caught.value.message for name in there)
