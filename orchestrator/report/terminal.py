# SPDX-License-Identifier: Apache-2.0
"""The summary and a comparison as rows of text, for the terminal.

A header that ends in ">" belongs to a column of numbers (right-aligned).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis import Results, Row, Verdict
from orchestrator.report import formats
from orchestrator.report.columns import MAX_THROUGHPUT, THROUGHPUT, summary_columns
from orchestrator.report.naming import name_rows
from orchestrator.spec.units import natural_key
from orchestrator.words import readable_times

type TextTable = tuple[list[str], list[list[str]]]

_FIRST_NUMBERS = (f"{MAX_THROUGHPUT}>", f"{THROUGHPUT}>")
VERDICT = "verdict"
_SPOKEN = {
    "achieved_rps": "requests/s",
    "latency_p50": "p50",
    "latency_p99": "p99",
    "latency_p999": "p99.9",
    "syscalls_per_request": "calls/request",
}
_BY_INTERVAL = (Verdict.SAME, Verdict.FASTER, Verdict.SLOWER)


def summary_rows(results: Results) -> TextTable:
    """Headers and one row per variant and workload, sorted by the values of what was swept."""
    rows = name_rows(results).rows
    keys = list(dict.fromkeys(key for row in rows for key in row.labels))
    numeric = {key: all(row.labels.get(key, "0")[:1].isdigit() for row in rows) for key in keys}
    columns = summary_columns(results, rows).columns
    headers = [f"{key}>" if numeric[key] else key for key in keys]
    headers += [f"{column.heading}>" for column in columns]
    cells = [
        [*(row.labels.get(key, "") for key in keys), *(one.cells[place].text for one in columns)]
        for place, row in enumerate(rows)
    ]
    return headers, cells


def label_count(headers: Sequence[str]) -> int:
    """How many columns of the summary say which row it is: all, where nothing was measured."""
    numbers = (place for place, name in enumerate(headers) if name in _FIRST_NUMBERS)
    return next(numbers, len(headers))


def summary_notes(results: Results) -> list[str]:
    """What has to be known to read the summary."""
    return list(summary_columns(results, name_rows(results).rows).notes)


def _short(why: str) -> str:
    """Of several reasons the first; in an order that does not depend on the process."""
    what, colon, rest = readable_times(why).partition(": ")
    reasons = sorted(rest.split("; "))
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{what}{colon}{reasons[0]}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The points of one variant under one workload. notes: why some were not decided."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str]


def comparisons(
    rows: Sequence[Row], names: tuple[str, str, str] = ("A", "B", "B/A")
) -> list[Comparison]:
    """The rows of a comparison by variant and workload, sorted by what was swept. names: of both
    sides, and of their ratio."""
    order = list(dict.fromkeys(row.variant for row in rows))
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.variant, row.workload), []).append(row)
    counts = Counter(variant for variant, _ in groups)
    return [
        _comparison(
            f"{variant}, {workload}" if counts[variant] > 1 else variant,
            groups[variant, workload],
            names,
        )
        for variant, workload in sorted(
            groups, key=lambda key: (order.index(key[0]), natural_key(key[1]))
        )
    ]


def _comparison(title: str, rows: Sequence[Row], names: tuple[str, str, str]) -> Comparison:
    table = []
    for row in rows:
        ratio = row.ratio
        table.append(
            [
                _SPOKEN.get(row.metric, row.metric),
                formats.rate(row.offered_rps),
                formats.estimate(row.before, row.unit),
                formats.estimate(row.after, row.unit),
                formats.NOTHING if ratio is None else formats.ratio(ratio.value),
                formats.ratio_span(ratio),
                str(row.verdict),
            ]
        )
    # The interval beside the threshold says why, unless there was none to look at.
    whys = Counter(
        _short(row.why)
        for row in rows
        if row.verdict not in _BY_INTERVAL and not row.why.startswith("ratio ")
    )
    return Comparison(
        title=title,
        headers=["metric", "offered/s>", *(f"{name}>" for name in names), "interval", VERDICT],
        rows=table,
        notes=[f"{count} × {why}" for why, count in whys.items()],
    )
