# SPDX-License-Identifier: Apache-2.0
"""The summary and a comparison as rows of text, for the terminal.

A header that ends in ">" belongs to a column of numbers (right-aligned).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis import Results, Row, Summary, Verdict
from orchestrator.analysis.summary import belongs
from orchestrator.report import formats
from orchestrator.spec.units import natural_key

type TextTable = tuple[list[str], list[list[str]]]

FIRST_NUMBER = "max requests/s>"
VERDICT = "verdict"
_SPOKEN = {
    "achieved_rps": "requests/s",
    "latency_p50": "p50",
    "latency_p99": "p99",
    "latency_p999": "p99.9",
    "syscalls_per_request": "calls/request",
}
_BY_INTERVAL = (Verdict.SAME, Verdict.FASTER, Verdict.SLOWER)
_NANOSECONDS = re.compile(r"\b(\d+) ns\b")


def summary_rows(results: Results) -> TextTable:
    """Headers and one row per variant and workload, sorted by the values of what was swept."""
    slo = formats.objective(results.objective)
    labelled = _labelled(results)
    keys = list(dict.fromkeys(key for labels, _ in labelled for key in labels))
    numeric = {
        key: all(labels.get(key, "0")[:1].isdigit() for labels, _ in labelled) for key in keys
    }
    headers = [f"{key}>" if numeric[key] else key for key in keys]
    headers += [FIRST_NUMBER, "p50 unloaded>", "p99 unloaded>"]
    if slo:
        headers.append(f"max load, {slo}>")
    headers += ["calls/request>", "packets/poll>", "accept evenness>", "void>"]
    rows = []
    for labels, summary in labelled:
        row = [
            *(labels.get(key, "") for key in keys),
            formats.at_least(summary),
            formats.estimate(summary.unloaded_p50, "us"),
            formats.estimate(summary.unloaded_p99, "us"),
        ]
        if slo:
            row.append(formats.slo(summary.slo))
        row += [
            formats.estimate(summary.syscalls_per_request, "calls/request"),
            formats.estimate(summary.packets_per_poll, "packets/poll"),
            formats.NOTHING if summary.accept is None else f"{summary.accept.jain:.2f}",
            f"{summary.invalid}/{summary.trials}",
        ]
        rows.append(row)
    return headers, rows


def _labelled(results: Results) -> list[tuple[Mapping[str, str], Summary]]:
    """Each summary with what tells it from the others: its variant, and the values of those keys
    of the matrix that differ."""
    found = [(_axes(results, summary), summary) for summary in results.summaries]
    keys = dict.fromkeys(key for axes, _ in found for key in axes)
    varying = [key for key in keys if len({axes.get(key) for axes, _ in found}) > 1]
    order = list(dict.fromkeys(axes["variant"] for axes, _ in found))
    labels = [
        {
            "variant": axes["variant"],
            **{key.rpartition(".")[2]: axes.get(key, "") for key in varying if key != "variant"},
        }
        for axes, _ in found
    ]
    if len({tuple(one.items()) for one in labels}) < len(labels):
        # Values under one name: then only the whole workload tells.
        labels = [{"variant": s.series.variant, "workload": s.series.workload} for _, s in found]
        order = list(dict.fromkeys(one["variant"] for one in labels))
    pairs = list(zip(labels, (summary for _, summary in found), strict=True))
    return sorted(
        pairs,
        key=lambda pair: (
            order.index(pair[0]["variant"]),
            [natural_key(value) for key, value in pair[0].items() if key != "variant"],
        ),
    )


def _axes(results: Results, summary: Summary) -> dict[str, str]:
    """The variant and the values of the matrix that all trials of a series have in common."""
    trial = next(record.trial for record in results.records if belongs(record, summary.series))
    axes = {key: value for key, value in trial.axes.items() if key not in ("load", "variant")}
    # A second generator's name stands for its variant.
    plain = trial.variant if summary.series.variant.startswith(trial.variant) else ""
    return {"variant": plain or summary.series.variant, **axes}


def in_words(reason: str) -> str:
    """A reason with its times in units that people read."""
    return _NANOSECONDS.sub(lambda found: formats.time_us(int(found[1]) / 1e3), reason)


def _short(why: str) -> str:
    """Of several reasons the first; in an order that does not depend on the process."""
    what, colon, rest = in_words(why).partition(": ")
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


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """The rows of a comparison by variant and workload, sorted by what was swept."""
    order = list(dict.fromkeys(row.variant for row in rows))
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.variant, row.workload), []).append(row)
    counts = Counter(variant for variant, _ in groups)
    return [
        _comparison(
            f"{variant}, {workload}" if counts[variant] > 1 else variant, groups[variant, workload]
        )
        for variant, workload in sorted(
            groups, key=lambda key: (order.index(key[0]), natural_key(key[1]))
        )
    ]


def _comparison(title: str, rows: Sequence[Row]) -> Comparison:
    table = []
    for row in rows:
        ratio = row.ratio
        table.append(
            [
                _SPOKEN.get(row.metric, row.metric),
                formats.rate(row.offered_rps),
                formats.estimate(row.before, row.unit),
                formats.estimate(row.after, row.unit),
                formats.NOTHING if ratio is None else f"{ratio.value:.3f}",
                f"{ratio.low:.3f} – {ratio.high:.3f}" if ratio and ratio.has_interval else "",
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
        headers=["metric", "offered/s>", "A>", "B>", "B/A>", "interval", VERDICT],
        rows=table,
        notes=[f"{count} × {why}" for why, count in whys.items()],
    )
