# SPDX-License-Identifier: Apache-2.0
"""The summary and a comparison as rows of text, for the terminal.

A header that ends in ">" belongs to a column of numbers (right-aligned).
"""

from collections.abc import Sequence

from orchestrator.analysis import Results, Row
from orchestrator.report import formats

type TextTable = tuple[list[str], list[list[str]]]


def summary_rows(results: Results) -> TextTable:
    """Headers and one row per variant and workload."""
    slo = formats.objective(results.objective)
    several = formats.several_workloads(results.summaries)
    headers = ["variant", "max requests/s>", "p50 unloaded>", "p99 unloaded>"]
    if several:
        headers.insert(1, "workload")
    if slo:
        headers.append(f"max load, {slo}>")
    headers += ["calls/request>", "packets/poll>", "accept evenness>", "void>"]
    rows = []
    for summary in results.summaries:
        row = [
            summary.series.variant,
            formats.at_least(summary),
            formats.estimate(summary.unloaded_p50, "us"),
            formats.estimate(summary.unloaded_p99, "us"),
        ]
        if several:
            row.insert(1, summary.series.workload)
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


def claim_rows(results: Results) -> TextTable:
    """Headers and one row per claim."""
    rows = [[claim.text, str(claim.outcome), claim.reason] for claim in results.claims]
    return ["claim", "verdict", "why"], rows


def comparison_rows(rows: Sequence[Row]) -> TextTable:
    """Headers and one row per point of a comparison of two runs."""
    headers = ["variant", "offered>", "metric", "A>", "B>", "B/A>", "interval", "verdict", "why"]
    table = []
    for row in rows:
        ratio = row.ratio
        table.append(
            [
                row.variant,
                formats.rate(row.offered_rps),
                row.metric,
                formats.estimate(row.before, row.unit),
                formats.estimate(row.after, row.unit),
                formats.NOTHING if ratio is None else f"{ratio.value:.3f}",
                f"{ratio.low:.3f} – {ratio.high:.3f}" if ratio and ratio.has_interval else "",
                str(row.verdict),
                row.why,
            ]
        )
    return headers, table
