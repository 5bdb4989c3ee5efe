# SPDX-License-Identifier: Apache-2.0
"""The tidy table: one row per metric per trial, and its two files.

`results.parquet` and `results.csv` hold the same table; the same trials always give the same
bytes. A trial that cannot be used keeps its rows, marked `valid = False` with the reason; when
nothing could be read, one row of `achieved_rps` without a value stands for it.

Names, units and directions of metrics are those of spec/metrics.py.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from orchestrator.analysis.histogram import Histogram
from orchestrator.analysis.instructions import instruction_metrics
from orchestrator.analysis.raw import Load, Record, Server
from orchestrator.analysis.statistics import jain_index, max_min_ratio
from orchestrator.spec.metrics import find_metric

NS_PER_US: Final = 1000.0
HEADLINE: Final = "achieved_rps"
QUANTILES: Final = {
    "p50": 0.5,
    "p90": 0.9,
    "p99": 0.99,
    "p999": 0.999,
    "p9999": 0.9999,
}

SCHEMA: Final = pa.schema(
    [
        ("run", pa.string()),
        ("trial", pa.string()),
        ("variant", pa.string()),
        ("stack", pa.string()),
        ("app", pa.string()),
        ("workload", pa.string()),
        ("offered_rps", pa.float64()),
        ("repetition", pa.int64()),
        ("seed", pa.uint64()),
        ("machine", pa.string()),
        ("metric", pa.string()),
        ("unit", pa.string()),
        ("direction", pa.string()),
        ("clock", pa.string()),
        ("value", pa.float64()),
        ("valid", pa.bool_()),
        ("reason", pa.string()),
    ]
)
COLUMNS: Final = tuple(SCHEMA.names)

type Value = tuple[str, float]  # metric, value


def load_metrics(load: Load) -> Iterator[Value]:
    """What the load generator saw."""
    yield HEADLINE, load.achieved_rps
    latency = load.latency
    yield "latency_mean", latency.mean / NS_PER_US
    yield from _quantiles("latency", latency, QUANTILES)
    yield "latency_max", latency.maximum / NS_PER_US if latency.count else float("nan")
    for operation, histogram in load.per_operation.items():
        yield from _quantiles(f"{operation}_latency", histogram, {"p50": 0.5, "p99": 0.99})
    yield "schedule_adherence", load.adherence
    yield "max_lateness", load.max_lateness_ns / NS_PER_US
    yield "sent", float(load.sent)
    yield "completed", float(load.completed)
    if load.completed:
        # Bytes count until the last straggler; the rate is that of the window.
        bits = 8.0 * load.bytes_received / load.completed
        yield "goodput", bits * load.achieved_rps / 1e6
    for kind in sorted(load.errors):
        yield f"errors_{kind}", float(load.errors[kind])
    yield "errors", float(sum(load.errors.values()))


def unresolved(load: Load, metric: str) -> str:
    """Why a percentile of latency may not be used: no request is expected beyond it, so that it
    is the maximum by another name. Empty when it may, and for other metrics."""
    family, _, name = metric.rpartition("_")
    if name not in QUANTILES or not family.endswith("latency"):
        return ""
    operation = family.removesuffix("latency").removesuffix("_")
    count = (load.per_operation[operation] if operation else load.latency).count
    needed = round(1 / (1 - QUANTILES[name]))
    if count >= needed:
        return ""
    return f"only {count} requests: p{QUANTILES[name] * 100:g} needs {needed}"


def server_metrics(server: Server) -> Iterator[Value]:
    """What the application counted over its life, warm-up included: use ratios, not rates."""
    accepted = [thread.accepted for thread in server.threads]
    served = [thread.requests for thread in server.threads]
    for thread in server.threads:
        yield f"accepted_thread{thread.index}", float(thread.accepted)
        yield f"served_thread{thread.index}", float(thread.requests)
    for name, counts in (("accept", accepted), ("served", served)):
        if sum(counts):
            yield f"{name}_max_min_ratio", max_min_ratio(counts)
            yield f"{name}_jain_index", jain_index(counts)
    requests, polls = sum(served), sum(thread.polls for thread in server.threads)
    if requests:
        cpu_ns = sum(one.cpu_ns for one in server.threads)
        yield "server_cpu_per_request", cpu_ns / requests / NS_PER_US
        yield "server_syscalls_per_request", sum(one.syscalls for one in server.threads) / requests
    if polls:
        yield "server_events_per_poll", sum(one.events for one in server.threads) / polls


def dataplane_metrics(record: Record) -> Iterator[Value]:
    """What a dataplane counted over its life, warm-up included."""
    if record.dpos is None:
        return
    yield "packets_per_poll", record.dpos.batch
    if not math.isnan(record.dpos.locality):
        yield "locality", record.dpos.locality
    requests = sum(thread.requests for thread in record.server.threads) if record.server else 0
    if requests:
        yield "crossings_per_request", record.dpos.crossings / requests


def accounting_metrics(record: Record) -> Iterator[Value]:
    """System calls, NAPI polls and who read where, as the server's kernel counted them."""
    if record.syscalls is not None:
        requests = record.syscalls.requests
        yield "syscalls_per_request", record.syscalls.total / requests
        for name, count in sorted(record.syscalls.by_syscall.items()):
            yield f"syscalls_per_request_{name}", count / requests
    if record.napi is not None:
        yield "packets_per_poll", record.napi.packets / record.napi.polls
    if record.locality is not None:
        yield "locality", record.locality.local / record.locality.reads


def crosscheck_metrics(record: Record) -> Iterator[Value]:
    """What the second generator saw, under names of its own: never averaged with ours."""
    seen = record.crosscheck
    if seen is None:
        return
    yield "crosscheck_achieved_rps", seen.achieved_rps
    yield "crosscheck_latency_mean", seen.mean_ns / NS_PER_US
    for name, value in sorted(seen.percentiles.items()):
        yield f"crosscheck_latency_{name}", value / NS_PER_US


def _quantiles(prefix: str, histogram: Histogram, wanted: Mapping[str, float]) -> Iterator[Value]:
    values = histogram.quantiles(np.array(list(wanted.values())))
    for name, value in zip(wanted, values, strict=True):
        yield f"{prefix}_{name}", float(value) / NS_PER_US


type Row = tuple[str, str, float, str]  # machine's role, metric, value, reason ("" when valid)


def _trial_rows(record: Record) -> Iterator[Row]:
    trial = record.trial
    ended = "" if trial.status == "ok" else trial.reason or trial.status
    broken = record.faults.get("trial", "")
    reason = "; ".join(dict.fromkeys(part for part in (ended, broken) if part))
    if trial.kind == "measure":
        yield from _measure_rows(record, reason)
    # The counts are per request, of a load that must have been what was asked.
    counted = record.reason if trial.kind == "accounting" else reason
    for metric, value in (*accounting_metrics(record), *dataplane_metrics(record)):
        yield "server", metric, value, counted
    for metric, value in crosscheck_metrics(record):
        yield "client", metric, value, reason
    promised = {"accounting": "syscalls", "crosscheck": "crosscheck"}.get(trial.kind)
    for part, (role, metric) in _STANDS_FOR.items():
        if part in record.faults or (part == promised and getattr(record, part) is None):
            why = "; ".join(text for text in (reason, record.faults.get(part, "")) if text)
            yield role, metric, float("nan"), why or f"{part}.json: is missing"


def _measure_rows(record: Record, ended: str) -> Iterator[Row]:
    if record.load is not None:
        for metric, value in load_metrics(record.load):
            yield "client", metric, value, record.reason or unresolved(record.load, metric)
        if record.instructions is not None:
            for role, metric, value in instruction_metrics(
                record.instructions, record.trial.machines, record.load.answered
            ):
                yield role, metric, value, record.reason
    else:
        yield "client", HEADLINE, float("nan"), record.reason or "load.json: is missing"
    # The application's counts hold even where the client was too slow: they are ratios.
    if record.server is not None:
        for metric, value in server_metrics(record.server):
            yield "server", metric, value, ended


# Which row says that a file could not be read.
_STANDS_FOR: Final = {
    "server": ("server", "served_jain_index"),
    "instructions": ("server", "instructions_per_request"),
    "syscalls": ("server", "syscalls_per_request"),
    "napi": ("server", "packets_per_poll"),
    "locality": ("server", "locality"),
    "dpos": ("server", "packets_per_poll"),
    "crosscheck": ("client", "crosscheck_achieved_rps"),
}


def build(run: str, records: Sequence[Record]) -> pd.DataFrame:
    """The tidy table of a run's trials, in the order of the trials."""
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for record in records:
        trial = record.trial
        common = (
            run,
            trial.id,
            trial.subject,
            trial.stack,
            trial.app,
            trial.workload_label,
            trial.offered_rps,
            trial.repetition,
            trial.seed,
        )
        for role, metric, value, reason in _trial_rows(record):
            machine = trial.machines.get(role, role)
            known = find_metric(metric)
            if known is None:
                raise ValueError(f"spec/metrics.py does not know {metric}")
            tail = (machine, metric, known.unit, known.direction, trial.clock)
            row = (*common, *tail, value, not reason, reason)
            for name, cell in zip(COLUMNS, row, strict=True):
                columns[name].append(cell)
    return _frame(pa.table(columns, schema=SCHEMA))


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _arrow(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame[list(COLUMNS)], schema=SCHEMA, preserve_index=False)
    # Without pandas' own metadata the bytes depend on the table alone.
    return table.replace_schema_metadata(None)


def write(frame: pd.DataFrame, run_dir: Path) -> None:
    """Write results.parquet and results.csv; each replaces its predecessor in one step."""
    table = _arrow(frame)
    parquet, csv = run_dir / "results.parquet", run_dir / "results.csv"
    part = parquet.with_suffix(".parquet.part")
    pa.parquet.write_table(table, part, compression="zstd")
    os.replace(part, parquet)
    part = csv.with_suffix(".csv.part")
    # Every text is quoted, so that an empty text and no value stay two things.
    options = pa.csv.WriteOptions(quoting_style="needed")
    pa.csv.write_csv(table, part, options)
    os.replace(part, csv)


def read_parquet(path: Path) -> pd.DataFrame:
    """The table as `build` made it."""
    return _frame(pa.parquet.read_table(path, schema=SCHEMA))


def read_csv(path: Path) -> pd.DataFrame:
    """The table as `build` made it, from the CSV twin."""
    convert = pa.csv.ConvertOptions(
        column_types=SCHEMA,
        include_columns=list(COLUMNS),
        strings_can_be_null=False,
        null_values=["", "nan"],
        quoted_strings_can_be_null=False,
    )
    return _frame(pa.csv.read_csv(path, convert_options=convert))
