# SPDX-License-Identifier: Apache-2.0
"""The report's files: complete, self-contained, and the same bytes each time."""

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from simulated_run import (
    LOADS,
    QUICKSTART,
    RunBuilder,
    closed_loop,
    connections,
    hist,
    quickstart,
    spin,
)

from orchestrator import report
from orchestrator.analysis import Results, build_results
from orchestrator.analysis.histogram import from_values
from orchestrator.analysis.statistics import jain_index, max_min_ratio
from orchestrator.errors import UsageError
from orchestrator.report import catalogue, figures, naming, page
from orchestrator.report.terminal import label_count


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = quickstart(tmp_path_factory.mktemp("runs") / "quick")
    report.write_report(root, build_results(root))
    return root


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return build_results(run)


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def page_of(root: Path) -> str:
    """The page without its figures, which take most of the time."""
    found = build_results(root)
    groups = catalogue.groups(found)
    svgs = {chart.name: b"<svg></svg>" for group in groups for chart in group.charts}
    return page.page(found, groups, svgs)


class Page(HTMLParser):
    """Collects what the page refers to, and checks that elements are closed."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.svgs += tag == "svg"
        for name, value in attrs:
            if name in ("href", "src", "xlink:href", "data", "action"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Page:
    found = Page()
    found.feed(html)
    return found


def test_the_page_is_well_formed_and_refers_to_nothing_outside(run: Path, html: str) -> None:
    found = parsed(html)
    assert found.open == []
    for link in found.links:
        if link.startswith("#"):
            assert link[1:] in found.ids
        else:
            assert re.fullmatch(r"figures/[a-z0-9-]+\.(svg|pdf|png|csv)|claims\.(csv|json)", link)
            assert (run / link).is_file()
    styles = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    assert "http:" not in styles and "https:" not in styles and "@import" not in styles
    assert "url(" not in styles


def test_ids_are_unique(html: str) -> None:
    ids = parsed(html).ids
    assert sorted(set(ids)) == sorted(ids)


def test_every_figure_is_drawn_and_has_its_command(results: Results, html: str) -> None:
    names = report.figure_names(results)
    assert parsed(html).svgs == len(names) == 12
    for name in names:
        assert f"./ringbed report {results.run} --figure {name}<" in html


def test_the_page_says_what_must_be_known(html: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for expected in (
        "Wall clock under TCG: functional evidence only.",
        "40 of 45 load trials are valid",
        "With 3 repetitions the small print is just the range that was seen.",
        "“At 500/s” is the lowest load offered",
        "Counted in one trial of each variant: linux-echo-single, linux-echo-reuseport, "
        "linux-memcached at 1,500 requests/s.",
        "No column for p99.9 at 500/s: only",
        "the server died: Segmentation fault",
        "schedule adherence 88.9% is below 99.0%",
        "not reproduced",
        "needs the virtual clock",
        "Cross-check with a second generator",
        "System calls per request",
        "0123456789abcdef0123456789abcdef01234567 with uncommitted changes",
        "Kernel command line of server",
        "libvirt domain of client",
    ):
        assert expected in text, expected


def test_trials_are_numbered_as_in_a_plan(results: Results) -> None:
    assert page.trial_rows(results.records)[0].index == 1


def test_sentences_of_the_page_are_apart(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "once")
    run.trial(QUICKSTART[0], LOADS[0], 1)
    root = run.finish()
    html = report.write_report(root, build_results(root)).read_text()
    assert "measured once has no interval. “At" in html


def test_no_banner_where_the_processor_is_real(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    run.trial(QUICKSTART[0], 500.0, 0)
    root = run.finish(accelerator={"kind": "kvm", "reason": "the probe guest booted"})
    text = page_of(root)
    assert "functional evidence only" not in text


def test_the_same_run_gives_the_same_page(run: Path, html: str, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("figures", "report.html"))
    found = build_results(copy)
    svgs = {path.stem: path.read_bytes() for path in (run / "figures").glob("*.svg")}
    assert page.page(found, catalogue.groups(found), svgs) == html


@pytest.mark.parametrize("name", ["echo-ccdf", "memcached-latency-p99"])
def test_the_same_run_gives_the_same_figures(run: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("figures"))
    paths = report.write_figure(copy, build_results(copy), name)
    assert [path.suffix for path in paths] == [".csv", ".pdf", ".png", ".svg"]
    for path in paths:
        assert path.read_bytes() == (run / "figures" / path.name).read_bytes()


def test_an_unknown_figure_is_a_usage_error(run: Path, results: Results) -> None:
    with pytest.raises(UsageError, match="nearest: echo-ccdf") as caught:
        report.write_figure(run, results, "echo-cdf")
    assert "memcached-latency-p99" in caught.value.hint


def test_figures_come_in_each_format_without_dates(run: Path) -> None:
    for path in (run / "figures").iterdir():
        content = path.read_bytes()
        magic = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG", ".csv": b"variant,"}
        assert content.startswith(magic[path.suffix])
        assert b"CreationDate" not in content and b"<dc:date>" not in content
        assert b"Matplotlib" not in content


def test_text_in_figures_is_text(run: Path) -> None:
    svg = (run / "figures" / "echo-latency-p99.svg").read_text()
    for words in ("offered load (requests/s)", "p99 latency (ms)", "linux-echo-reuseport"):
        assert f">{words}</text>" in svg


def test_figure_data_hold_void_trials(run: Path) -> None:
    with (run / "figures" / "memcached-latency-p99.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    void = [row for row in rows if row["void_reason"]]
    assert {row["offered_rps"] for row in void} == {"7000.0"} and len(void) == 3
    assert all(float(row["value"]) > 0 for row in void)


def test_curves_share_a_figure_only_with_the_same_application(results: Results) -> None:
    groups = catalogue.groups(results)
    assert [group.panel.app for group in groups] == ["echo", "memcached"]
    for group in groups:
        for series in results.points.of_panel(group.panel):
            assert series.panel == group.panel


def test_distributions_are_compared_below_saturation(results: Results) -> None:
    panel = results.points.panels[0]
    assert catalogue.common_load(results, panel) == LOADS[3]


def test_a_service_time_sweep_carries_the_reference_line(tmp_path: Path) -> None:
    root = spin(tmp_path / "spin")
    results = build_results(root)
    report.write_figure(root, results, "spin-latency-p99")
    assert ">ideal M/G/2</text>" in (root / "figures" / "spin-latency-p99.svg").read_text()


def test_a_closed_loop_is_drawn_over_what_was_varied(tmp_path: Path) -> None:
    root = connections(tmp_path / "run")
    results = build_results(root)
    groups = catalogue.groups(results)
    assert [group.title for group in groups] == ["echo, closed loop over connections"]
    assert report.figure_names(results) == [
        f"echo-connections-{name}"
        for name in ("achieved", "latency-p50", "latency-p99", "latency-p999")
    ]
    report.write_figure(root, results, "echo-connections-achieved")
    svg = (root / "figures" / "echo-connections-achieved.svg").read_text()
    assert ">connections</text>" in svg and ">64</text>" in svg
    with (root / "figures" / "echo-connections-achieved.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["connections"] for row in rows)) == ["1", "4", "16", "64"]
    assert all(summary.slo is None for summary in results.summaries)
    assert all(summary.saturated for summary in results.summaries)
    headers, cells = report.summary_rows(results)
    assert headers[1] == "connections>" and cells[1][1] == "4"
    assert ">linux-echo-single, connections 4<" in page_of(root).replace("</span>l", "</span>>l")


def names(text: str) -> list[str]:
    """What the first table calls its rows."""
    table = text.partition("<tbody>")[2].partition("</tbody>")[0]
    heads = re.findall(r'<th scope="row">(.*?)</th>', table, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", re.sub(r'<span class="note">.*', "", one)) for one in heads]


def test_rows_stand_in_the_order_of_the_file_and_by_value(tmp_path: Path) -> None:
    root = closed_loop(tmp_path / "run", QUICKSTART[1::-1], (64, 4, 16))
    variants = ("linux-echo-single", "linux-echo-reuseport")
    expected = [f"{name}, connections {count}" for name in variants for count in (4, 16, 64)]
    text = page_of(root)
    assert names(text) == expected
    # Two curves: two colours.
    keys = re.findall(r'class="key" style="background:var\(--series-(\d)\)', text)
    assert set(keys[:3]) == {"0"} and set(keys[3:6]) == {"1"}


def test_one_variant_is_named_once_and_its_rows_by_what_was_varied(tmp_path: Path) -> None:
    root = closed_loop(tmp_path / "run", QUICKSTART[:1], (64, 4, 16), accounting=16)
    text = page_of(root)
    assert names(text) == ["connections 4", "connections 16", "connections 64"]
    assert text.count("All rows: <b>linux-echo-single, echo on linux, echo closed, 1 thread") == 1
    assert 'class="key"' not in text
    assert text.count("not counted here") == 2
    assert "Counted in one trial of each variant: connections 16." in text


def test_workloads_of_one_variant_that_are_curves_have_colours_of_their_own(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    for shares in ((8, 8), (4, 4)):
        variant = dataclasses.replace(QUICKSTART[0], shares=shares)
        for offered in LOADS[:2]:
            run.trial(variant, offered, 0)
    results = build_results(run.finish())
    shades = naming.colours(results)
    assert sorted(shades.values()) == [0, 1]
    assert [row.name.partition(", ")[0] for row in naming.name_rows(results).rows] == [
        "echo open poisson"
    ] * 2


def test_bars_and_numbers_of_the_balance_are_of_one_trial(results: Results) -> None:
    for summary in results.summaries:
        for balance in (summary.accept, summary.serve):
            if balance is not None:
                assert balance.jain == pytest.approx(jain_index(balance.shares))
                assert balance.max_min == pytest.approx(max_min_ratio(balance.shares))
                assert balance.worst_jain <= balance.jain


def test_figures_use_the_titles_of_variants(run: Path) -> None:
    svg = (run / "figures" / "memcached-latency-p99.svg").read_text()
    assert ">Linux memcached</text>" in svg


def test_a_run_without_trials_has_a_report(tmp_path: Path) -> None:
    root = RunBuilder(tmp_path).finish()
    text = page_of(root)
    assert "Nothing was measured." in text and parsed(text).open == []


def test_a_run_with_nothing_valid_has_a_report(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    for offered in LOADS:
        (run.trial(QUICKSTART[0], offered, 0) / "load.json").unlink()
    root = run.finish()
    text = report.write_report(root, build_results(root)).read_text()
    assert "0 of 5 load trials are valid" in text


def test_a_thin_manifest_is_shown_as_such(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    run.trial(QUICKSTART[0], 500.0, 0)
    root = run.finish()
    (root / "manifest.json").write_text("{}")
    text = page_of(root)
    assert "not recorded" in text and parsed(text).open == []


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path)
    directory = run.trial(QUICKSTART[0], 500.0, 0)
    (directory / "load.json").unlink()
    trial = directory / "trial.json"
    evil = "<script>alert(1)</script>"
    trial.write_text(trial.read_text().replace('"reason": ""', f'"reason": "{evil}"'))
    trial.write_text(trial.read_text().replace('"status": "ok"', '"status": "failed"'))
    root = run.finish(title=evil)
    text = page_of(root)
    assert evil not in text and "&lt;script&gt;alert(1)" in text


def test_the_crosscheck_sets_both_generators_side_by_side(results: Results) -> None:
    rows = page.crosschecks(results)
    assert [row.metric for row in rows] == ["achieved_rps", "latency_mean", "latency_p50"]
    assert all(row.ours != "–" and row.theirs != "–" for row in rows)


def test_rows_for_the_terminal(results: Results) -> None:
    headers, rows = report.summary_rows(results)
    assert [len(row) for row in rows] == [len(headers)] * 3
    assert rows[0][0] == "linux-echo-single" and rows[2][-1] == "3/15"
    assert "max load, p99 ≤ 20 ms>" in headers
    headers, rows = report.claim_rows(results.claims)
    assert [row[0] for row in rows] == ["reproduced", "not reproduced", "not measurable here"]
    assert all(len(row) == len(headers) for row in rows)


@pytest.mark.parametrize("make", [quickstart, spin, connections])
def test_a_run_whose_trials_all_failed_has_a_report(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = make(tmp_path / "run")
    for file in root.glob("trials/*/trial.json"):
        for other in file.parent.glob("*.json"):
            if other != file:
                other.unlink()
        trial = json.loads(file.read_text()) | {"status": "failed", "reason": "the server died"}
        file.write_text(json.dumps(trial))
    found = build_results(root)
    path = report.write_report(root, found)
    assert "the server died" in path.read_text(encoding="utf-8")
    assert all(summary.max_throughput is None for summary in found.summaries)
    # The terminal's, too: it knows where the labels of a row end.
    headers, rows = report.summary_rows(found)
    labels = label_count(headers)
    assert rows and {row[labels] for row in rows} == {"–"}
    assert headers[0] == "variant" and headers[-1] == "void>"


@pytest.mark.parametrize("make", [spin, connections])
def test_a_run_that_nobody_answered_has_a_report(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = make(tmp_path / "run")
    nothing = hist(from_values(np.array([], dtype=np.int64)))
    for file in root.glob("trials/*/load.json"):
        load = json.loads(file.read_text())
        load |= {"valid": False, "reasons": ["no request was answered"]}
        load |= {"completed": 0, "achieved_rps": 0.0, "latency": nothing}
        file.write_text(json.dumps(load))
    path = report.write_report(root, build_results(root))
    assert "no request was answered" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("loads", [(2.0, 5.0), (2.0,)])
def test_a_spin_run_far_below_saturation_has_a_report_without_the_ideal(
    loads: tuple[float, ...], tmp_path: Path
) -> None:
    """The line of the ideal server begins above what was offered."""
    root = spin(tmp_path / "run", loads)
    text = report.write_report(root, build_results(root)).read_text(encoding="utf-8")
    assert "could not be drawn" not in text and "ideal M/G" not in text
    assert (root / "figures" / "spin-latency-p99.svg").exists()


def test_a_curve_without_points_is_no_horizontal_line() -> None:
    figure, axes = figures._axes()
    figures._rule(axes, figures.Rule(label="nothing", xs=(), ys=()), 1.0)
    assert [np.size(line.get_xdata()) for line in axes.lines] == [0]
    assert figure is axes.figure


def test_a_figure_that_fails_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = spin(tmp_path / "run", (200.0, 600.0))
    report.write_report(root, build_results(root))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no decades <here>")

    monkeypatch.setattr(figures, "achieved", fail)
    text = report.write_report(root, build_results(root)).read_text(encoding="utf-8")
    assert "This figure could not be drawn: ZeroDivisionError: no decades &lt;here&gt;" in text
    assert parsed(text).open == []
    # Neither a file of an earlier report, nor a link to one; the data are there all the same.
    assert not (root / "figures" / "spin-achieved.svg").exists()
    assert "figures/spin-achieved.svg" not in text
    assert (root / "figures" / "spin-achieved.csv").exists()
    assert (root / "figures" / "spin-ccdf.svg").exists() and (root / "results.csv").exists()
