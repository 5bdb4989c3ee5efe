# SPDX-License-Identifier: Apache-2.0
"""What came out of repeating a run, as tables: for the terminal, reproduction.md and .json."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.analysis.reproduction import Reproduction, Same
from orchestrator.host import durable
from orchestrator.report.claims import markdown_table

type TextTable = tuple[list[str], list[list[str]]]

NAMED_FILES = 5


def file_rows(found: Reproduction) -> TextTable:
    """A row per trial: how many of its files are identical, and which are not."""
    rows = []
    for trial in dict.fromkeys(row.trial for row in found.files):
        own = [row for row in found.files if row.trial == trial]
        other = [row for row in own if row.verdict is not Same.IDENTICAL]
        verdict = Same.DIFFERENT if other else Same.IDENTICAL
        names = [
            row.file if row.verdict is Same.DIFFERENT else f"{row.file} ({row.verdict})"
            for row in other[:NAMED_FILES]
        ]
        names += ["…"] if len(other) > NAMED_FILES else []
        same = f"{len(own) - len(other)}/{len(own)}"
        rows.append([own[0].label, same, str(verdict), ", ".join(names)])
    return ["trial", "identical>", "verdict", "different files"], rows


def metric_rows(found: Reproduction) -> TextTable:
    """A row per metric: what became of its values, or of its points on the wall clock."""
    rows = []
    for row in found.metrics:
        total = sum(row.counts.values())
        leading = next(iter(row.counts))
        verdict = leading if len(row.counts) == 1 else "different" if found.is_exact else "mixed"
        counts = ", ".join(f"{count} {verdict}" for verdict, count in row.counts.items())
        worst = "–" if math.isnan(row.worst) else f"{row.worst:.2%}"
        rows.append([row.metric, row.unit, str(total), str(verdict), counts, worst])
    what = "values>" if found.is_exact else "points>"
    return ["metric", "unit", what, "verdict", "of these", "largest change>"], rows


def sentence(found: Reproduction) -> str:
    """The outcome in a sentence."""
    files = len(found.files)
    same = sum(row.verdict is Same.IDENTICAL for row in found.files)
    if found.is_exact and not found.failed:
        return f"reproduced: all {files} files and all metrics are identical"
    if found.is_exact:
        return f"not reproduced: {files - same} of {files} files differ{_other_inputs(found)}"
    if found.failed:
        return f"not reproduced: metrics differ beyond the tolerance{_other_inputs(found)}"
    if found.decided:
        return "reproduced: no metric differs beyond the tolerance (files of the wall clock may)"
    return "undecided: the repetitions are too few or too far apart for a verdict"


def _other_inputs(found: Reproduction) -> str:
    other = [name for name, before, after in found.inputs if before != after]
    return f"; so do the inputs {', '.join(other)}" if other else "; the inputs are the same"


def as_data(found: Reproduction) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "clock": found.clock,
        "reproduced": not found.failed and found.decided,
        "decided": found.decided,
        "summary": sentence(found),
        "inputs": [
            {"input": name, "expected": before, "found": after}
            for name, before, after in found.inputs
        ],
        "files": [asdict(row) for row in found.files],
        "metrics": [
            {**asdict(row), "worst": row.worst if math.isfinite(row.worst) else None}
            for row in found.metrics
        ],
    }


def write_reproduction(place: Path, found: Reproduction, first: str, second: str) -> None:
    """reproduction.json and reproduction.md."""
    data = {"expected": first, "found": second, **as_data(found)}
    durable.write_json(place / "reproduction.json", data)
    lines = ["# Reproduction", "", f"{sentence(found)}.", ""]
    lines += [f"Expected: `{first}`, found: `{second}`; {found.clock} clock.", ""]
    for title, (headers, rows) in (
        ("Inputs", (["input", "expected", "found"], [list(row) for row in found.inputs])),
        ("Files of trials", file_rows(found)),
        ("Metrics", metric_rows(found)),
    ):
        lines += [f"## {title}", ""]
        lines += [*markdown_table([header.rstrip(">") for header in headers], rows), ""]
    durable.write_text(place / "reproduction.md", "\n".join(lines))
