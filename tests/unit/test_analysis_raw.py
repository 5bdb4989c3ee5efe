# SPDX-License-Identifier: Apache-2.0
"""Raw files: every trial stays, every fault is named."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_run import LOADS, QUICKSTART, RunBuilder
from test_cli_top import told

from orchestrator.analysis import build_results
from orchestrator.analysis.raw import read_load, read_record, read_server
from orchestrator.errors import InfrastructureError

ECHO = QUICKSTART[1]


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    return RunBuilder(tmp_path / "run")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def test_a_trial_is_read_whole(run: RunBuilder) -> None:
    record = read_record(run.trial(ECHO, 1500.0, 2))
    assert record.faults == {} and record.reason == ""
    assert record.load is not None and record.server is not None
    assert record.load.latency.count == record.load.completed
    assert record.trial.axes == {"load": "1500.0"}
    assert record.trial.workload_label == "echo open poisson, 16 connections, 1 thread, 64 B"
    written = json.loads((record.directory / "load.json").read_text())["latency"]["percentiles"]
    assert int(record.load.latency.quantile(0.99)) == written["99"]


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", lambda path: path.unlink(), "is missing"),
    ("empty", lambda path: path.write_text(""), "is empty"),
    ("cut", lambda path: path.write_text(path.read_text()[:300]), "cut off"),
    ("binary", lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
    ("list", lambda path: path.write_text("[1]"), "no JSON object"),
    ("version", lambda path: change(path, lambda d: d.update(schema=9)), "version 9"),
    ("no rate", lambda path: change(path, lambda d: d.pop("achieved_rps")), "achieved_rps"),
    ("negative", lambda path: change(path, lambda d: d.update(sent=-1)), "sent"),
    ("text", lambda path: change(path, lambda d: d.update(completed="3")), "completed"),
    ("nan", lambda path: change(path, lambda d: d.update(achieved_rps=math.nan)), "achieved_rps"),
    (
        "lost bucket",
        lambda path: change(path, lambda d: d["latency"]["buckets"].pop()),
        "latency.count",
    ),
    (
        "buckets out of order",
        lambda path: change(path, lambda d: d["latency"]["buckets"].reverse()),
        "latency.buckets",
    ),
    (
        "buckets of three",
        lambda path: change(path, lambda d: d["latency"].update(buckets=[[1, 2, 3]])),
        "latency.buckets",
    ),
    (
        "max below min",
        lambda path: change(path, lambda d: d["latency"].update(max=0)),
        "latency.max",
    ),
]


@pytest.mark.parametrize(("name", "damage", "expected"), DAMAGE, ids=[row[0] for row in DAMAGE])
def test_a_damaged_load_file_voids_the_trial(
    run: RunBuilder, name: str, damage: Callable[[Path], object], expected: str
) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    run.trial(ECHO, 1500.0, 1)
    damage(directory / "load.json")
    results = build_results(run.finish())
    rows = results.table[results.table.trial == directory.name]
    headline = rows[rows.metric == "achieved_rps"].iloc[0]
    assert not headline.valid and math.isnan(headline.value)
    assert "load.json" in headline.reason and expected in headline.reason
    summary = results.summaries[0]
    assert (summary.invalid, summary.trials) == (1, 2)
    assert summary.max_throughput is not None and summary.max_throughput.n == 1


def test_a_damaged_server_file_does_not_void_the_load(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    (directory / "server.json").write_text('{"schema": 1')
    results = build_results(run.finish())
    rows = results.table.set_index("metric")
    assert bool(rows.loc["achieved_rps"].valid)
    assert not bool(rows.loc["served_jain_index"].valid)
    assert "server.json" in str(rows.loc["served_jain_index"].reason)
    assert results.summaries[0].invalid == 0


def test_a_damaged_trial_file_falls_back_on_the_manifest(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    (directory / "trial.json").write_text("")
    results = build_results(run.finish())
    row = results.table[results.table.metric == "achieved_rps"].iloc[0]
    assert (row.variant, bool(row.valid)) == (ECHO.name, False)
    assert "trial.json" in row.reason


def test_a_trial_that_nothing_is_known_of_is_kept(run: RunBuilder) -> None:
    run.trial(ECHO, 1500.0, 0)
    stray = run.root / "trials" / "feedfacefeedface"
    stray.mkdir()
    results = build_results(run.finish())
    assert "feedfacefeedface" in set(results.table.trial)
    assert results.invalid == 1


def test_a_planned_trial_that_never_ran_is_kept(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    results = build_results(run.finish())
    row = results.table.iloc[0]
    assert (row.trial, row.reason) == (directory.name, "not run")


def test_the_journal_tells_what_a_crash_cut_short(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    (directory / "trial.json").unlink()
    root = run.finish()
    with (root / "journal.jsonl").open("a") as file:
        entry = {"time": 2.0, "event": "trial-start", "trial": directory.name}
        file.write(json.dumps(entry) + "\n")
    row = build_results(root).table.iloc[0]
    assert "the run ended while this trial was under way" in row.reason


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_trial_that_did_not_end_well_is_void(run: RunBuilder, status: str) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    change(directory / "trial.json", lambda d: d.update(status=status, reason="the guest panicked"))
    results = build_results(run.finish())
    assert not results.table.valid.any()
    assert set(results.table.reason) == {"the guest panicked"}


def test_a_void_point_keeps_its_values(run: RunBuilder) -> None:
    run.trial(QUICKSTART[2], LOADS[-1], 0)
    row = build_results(run.finish()).table.set_index("metric").loc["latency_p99"]
    assert not row.valid and row.value > 0 and "schedule adherence" in str(row.reason)


def test_accounting_does_not_enter_latencies(run: RunBuilder) -> None:
    run.trial(ECHO, 1500.0, 0)
    run.trial(ECHO, 1500.0, 0, kind="accounting")
    results = build_results(run.finish())
    assert results.summaries[0].trials == 1
    assert len(results.table[results.table.metric == "latency_p50"]) == 1
    calls = results.summaries[0].syscalls_per_request
    assert calls is not None and calls.value == pytest.approx(2.72, abs=0.01)


def test_accounting_without_requests_is_void(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0, kind="accounting")
    change(directory / "syscalls.json", lambda d: d.update(requests=0))
    change(directory / "napi.json", lambda d: d.update(polls=0))
    table = build_results(run.finish()).table
    void = table[~table.valid].set_index("metric").reason
    assert "nothing was served" in void["syscalls_per_request"]
    assert "never polled" in void["packets_per_poll"]


def test_axes_make_curves_of_their_own(run: RunBuilder) -> None:
    for threads, size in ((1, "64B"), (2, "64B"), (1, "1KiB")):
        path = run.trial(ECHO, 1500.0, 0) / "trial.json"
        data = json.loads(path.read_text())
        data["axes"] = {"options.threads": threads, "workload.memcached.value": size}
        path.write_text(json.dumps(data))
    results = build_results(run.finish())
    assert len(results.points.series) == 3 and len(results.points.panels) == 2
    assert {series.variant for series in results.points.series} == {
        f"{ECHO.name} threads=1",
        f"{ECHO.name} threads=2",
    }


def test_a_directory_without_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="no manifest.json"):
        build_results(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InfrastructureError, match="damaged"):
        build_results(tmp_path)


def test_readers_name_the_key(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    change(directory / "server.json", lambda d: d["threads"][1].pop("cpu_ns"))
    with pytest.raises(InfrastructureError, match=r"server.json: threads\[1\].cpu_ns: is missing"):
        read_server(directory / "server.json")
    change(directory / "load.json", lambda d: d["adherence"].update(share=True))
    with pytest.raises(InfrastructureError, match=r"load.json: adherence.share"):
        read_load(directory / "load.json")


def test_accounting_of_a_voided_load_does_not_count(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0, kind="accounting")
    change(directory / "load.json", lambda d: d.update(valid=False, reasons=["too late"]))
    table = build_results(run.finish()).table
    rows = table[table.metric.isin(["syscalls_per_request", "packets_per_poll"])]
    assert len(rows) == 2 and not rows.valid.any() and set(rows.reason) == {"too late"}


def test_a_dataplane_tells_its_batches_and_crossings(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0)
    requests = sum(
        thread["requests"]
        for thread in json.loads((directory / "server.json").read_text())["threads"]
    )
    counters = told(1)
    counters["cores"][0]["loop"]["crossings"] = requests // 4
    counters["cores"][0]["net"]["tcp_no_connection"] = 78
    (directory / "dpos.json").write_text(json.dumps(counters))
    table = build_results(run.finish()).table.set_index("metric").value
    assert table["packets_per_poll"] == 8
    assert table["locality"] == pytest.approx(0.9)
    assert table["crossings_per_request"] == pytest.approx(0.25, abs=0.001)
    (directory / "dpos.json").write_text("{")
    rows = build_results(run.root).table.set_index("metric")
    assert "dpos.json" in str(rows.reason["packets_per_poll"])


def test_where_linux_read_is_a_share(run: RunBuilder) -> None:
    directory = run.trial(ECHO, 1500.0, 0, kind="accounting")
    place = directory / "locality.json"
    place.write_text(json.dumps({"reads": 8, "local": 6.0, "dropped": 0}))
    table = build_results(run.finish()).table.set_index("metric").value
    assert table["locality"] == 0.75
    for counted, said in (
        ({"reads": 8, "local": 9.0, "dropped": 0}, "9 of 8 reads"),
        ({"reads": 8, "local": 6.0, "dropped": 3}, "dropped 3 counts"),
    ):
        place.write_text(json.dumps(counted))
        rows = build_results(run.root).table.set_index("metric")
        assert said in str(rows.reason["locality"])
        assert rows.valid["syscalls_per_request"]
