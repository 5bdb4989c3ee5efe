# SPDX-License-Identifier: Apache-2.0
"""Costs by instruction count, as a table and as a section of docs/performance.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.host.bench import Figure
from orchestrator.report.claims import markdown_table

HEADERS = ["what", "measured>", "beside it>", "compared>", "bar>", "verdict"]

_TEXT = """\
## The TCP/IP library

By `./ringbed perf --page docs/performance.md`, of commit `{commit}`. In-process
(`dataplane/bench/bench_net.c`), compiled as a release, with a device that does nothing.
Counted is everything between the first packet of a turn and its last frame. "Measured" is the
library alone; "beside it" is what the benchmark's application and device, which are compiled apart,
took in addition, and is not judged. Timestamps and window scaling are on, checksums are the
device's.

{table}

The bars are the project's own (`orchestrator/host/bench.py`): no other stack's figures, and set
before the library met them. Each limits one thing:

{bars}

A figure per operation: a request with its reply, or a whole connection. The counter is callgrind's
(`valgrind`, pinned in `images/build.lock`).
"""


def row(figure: Figure) -> list[str]:
    case = figure.case
    compared = f"{figure.against:.3f} × {case.of}" if case.of else "–"
    bar = f"≤ {case.bar:g} ×" if case.of else f"≤ {case.bar:,.0f}"
    verdict = "met" if figure.met else "missed"
    own = f"{figure.own:,.1f}" if figure.own else "–"
    return [case.what, f"{figure.value:,.1f} {case.unit}", own, compared, bar, verdict]


def section(figures: Sequence[Figure], source: Mapping[str, Any]) -> str:
    """source: as manifest.source_state() gives it."""
    commit = str(source["commit"])[:10] + (" with changes" if source["dirty"] else "")
    heads = [head.removesuffix(">") for head in HEADERS]
    table = "\n".join(markdown_table(heads, [row(figure) for figure in figures]))
    bars = "\n".join(f"- {figure.case.what}: {figure.case.limits}." for figure in figures)
    return _TEXT.format(commit=commit, table=table, bars=bars)
