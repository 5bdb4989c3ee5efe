# SPDX-License-Identifier: Apache-2.0
"""The tidy table: its columns, its two files, and that they are the same each time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_run import QUICKSTART, RunBuilder, quickstart

from orchestrator.analysis import build_results, tables
from orchestrator.spec.metrics import find_metric

COLUMNS = (
    "run trial variant stack app workload offered_rps repetition seed machine metric unit "
    "direction clock value valid reason"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quickstart(tmp_path_factory.mktemp("runs") / "quick")


def test_columns_and_types(run: Path) -> None:
    table = build_results(run).table
    assert list(table.columns) == COLUMNS
    assert table.value.dtype == np.float64 and table.valid.dtype == np.bool_
    assert table.seed.dtype == np.uint64 and table.repetition.dtype == np.int64
    assert set(table.clock) == {"wall"}
    assert set(table.machine) == {"client", "server"}


def test_every_metric_is_known_with_its_unit(run: Path) -> None:
    for row in build_results(run).table.drop_duplicates("metric").itertuples():
        known = find_metric(str(row.metric))
        assert known is not None
        assert (row.unit, row.direction) == (known.unit, known.direction)


def test_one_row_per_metric_and_trial(run: Path) -> None:
    table = build_results(run).table
    assert not table.duplicated(["trial", "metric"]).any()
    assert (table.reason[table.valid] == "").all()
    assert (table.reason[~table.valid] != "").all()


def test_threads_without_a_cpu_or_on_the_same_one_stay_apart(tmp_path: Path) -> None:
    for cpu, labels in ((-1, ("thread 0, any cpu", "thread 1, any cpu")), (0, ("cpu 0", "cpu 0"))):
        builder = RunBuilder(tmp_path / f"cpu{cpu}")
        path = builder.trial(QUICKSTART[0], 500.0, 0) / "server.json"
        server = json.loads(path.read_text())
        for thread in server["threads"]:
            thread["cpu"] = cpu
        path.write_text(json.dumps(server))
        results = build_results(builder.finish())
        metrics = list(results.table.metric)
        assert metrics.count("accepted_thread0") == metrics.count("accepted_thread1") == 1
        assert len(metrics) == len(set(metrics))
        accept = results.summaries[0].accept
        assert accept is not None and accept.threads == labels


def test_percentiles_that_the_requests_cannot_resolve_are_kept_but_not_used(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.trial(QUICKSTART[0], 500.0, 0)
    results = build_results(builder.finish())
    count = results.records[0].load.latency.count if results.records[0].load else 0
    rows = results.table.set_index("metric")
    assert 100 <= count < 1000
    assert rows.valid["latency_p99"] and rows.valid["latency_max"] and rows.valid["achieved_rps"]
    assert not rows.valid["latency_p999"] and rows.value["latency_p999"] > 0
    assert rows.reason["latency_p999"] == f"only {count} requests: p99.9 needs 1000"
    assert rows.reason["latency_p9999"] == f"only {count} requests: p99.99 needs 10000"
    assert results.invalid == 0 and results.summaries[0].metrics["latency_p99"].estimate is not None
    assert results.summaries[0].slo is not None
    assert results.summaries[0].slo.median.state == "not reached"


def test_parquet_and_csv_hold_the_same_table(run: Path) -> None:
    table = build_results(run).table
    parquet = tables.read_parquet(run / "results.parquet")
    csv = tables.read_csv(run / "results.csv")
    pd.testing.assert_frame_equal(parquet, table)
    pd.testing.assert_frame_equal(csv, table)


def test_strange_values_survive_both_files(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.trial(QUICKSTART[0], 500.0, 0)
    table = build_results(builder.finish()).table
    table.loc[0, "value"] = np.inf
    table.loc[1, "value"] = np.nan
    table.loc[2, "value"] = 0.1 + 0.2
    table.loc[3, "value"] = 1e-300
    table.loc[4, "offered_rps"] = np.nan
    table.loc[5, "reason"] = 'a "quoted", reason; µs\nsecond line'
    table.loc[6, "seed"] = np.uint64(2**64 - 1)
    table.loc[7, "reason"] = "nan"
    tables.write(table, tmp_path)
    pd.testing.assert_frame_equal(tables.read_parquet(tmp_path / "results.parquet"), table)
    pd.testing.assert_frame_equal(tables.read_csv(tmp_path / "results.csv"), table)


def test_the_same_trials_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    build_results(run)
    copy = tmp_path / "elsewhere"
    shutil.copytree(run, copy)
    for name in ("results.parquet", "results.csv"):
        (copy / name).unlink()
    build_results(copy)
    for name in ("results.parquet", "results.csv"):
        assert (copy / name).read_bytes() == (run / name).read_bytes()
    assert not list(copy.glob("*.part"))


def test_an_empty_run_is_an_empty_table(tmp_path: Path) -> None:
    results = build_results(RunBuilder(tmp_path).finish())
    assert list(results.table.columns) == COLUMNS and len(results.table) == 0
    assert list(results.summaries) == [] and results.clocks == []
    assert len(tables.read_csv(tmp_path / "results.csv")) == 0
