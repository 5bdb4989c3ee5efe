# SPDX-License-Identifier: Apache-2.0
"""Writes report.html, figures/ and the claims. The same run always gives the same bytes."""

import csv
import difflib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.analysis import Results
from orchestrator.analysis.history import Trend
from orchestrator.analysis.nightly import Nightly
from orchestrator.errors import UsageError
from orchestrator.report import nightly, trend
from orchestrator.report.catalogue import Chart, groups
from orchestrator.report.claims import write_claims
from orchestrator.report.junit import junit
from orchestrator.report.page import page
from orchestrator.report.render import FORMATS, render

LOG = logging.getLogger(__name__)


def figure_names(results: Results) -> list[str]:
    """What `--figure` may be."""
    return [chart.name for group in groups(results) for chart in group.charts]


def write_report(run_dir: Path, results: Results) -> Path:
    """Write report.html, the claims, and every figure as SVG, PDF and PNG with its data as CSV.

    A figure that cannot be drawn costs the reader that figure, not the report: the page has the
    reason in its place.
    """
    write_claims(run_dir, results)
    found = groups(results)
    svgs: dict[str, bytes] = {}
    failures: dict[str, str] = {}
    for chart in (chart for group in found for chart in group.charts):
        try:
            svgs[chart.name] = _write(run_dir, chart)["svg"]
        except Exception as error:
            failures[chart.name] = f"{type(error).__name__}: {error}"
            LOG.warning("figure %s cannot be drawn: %s", chart.name, error, exc_info=True)
            for extension in FORMATS:
                (run_dir / "figures" / f"{chart.name}.{extension}").unlink(missing_ok=True)
    path = run_dir / "report.html"
    replace_file(path, page(results, found, svgs, failures).encode("utf-8"))
    return path


def write_figure(run_dir: Path, results: Results, name: str) -> list[Path]:
    """Write the files of one figure. Raises UsageError for an unknown name."""
    charts = {chart.name: chart for group in groups(results) for chart in group.charts}
    if name not in charts:
        near = difflib.get_close_matches(name, charts, n=1)
        raise UsageError(
            f"{results.run} has no figure {name!r}" + (f"; nearest: {near[0]}" if near else ""),
            hint=f"it has: {', '.join(charts) or 'none'}",
        )
    _write(run_dir, charts[name])
    return sorted((run_dir / "figures").glob(f"{name}.*"))


def write_nightly(directory: Path, result: Nightly, history: Path) -> dict[str, Path]:
    """Write a nightly result as page, Markdown and JUnit XML; the files by what they are."""
    trends = os.path.relpath(history / f"{result.about.suite}.html", directory)
    texts = {
        "report": ("report.html", nightly.page(result, trends=trends)),
        "summary": ("summary.md", nightly.markdown(result)),
        "junit": ("junit.xml", junit(result)),
    }
    for name, text in texts.values():
        replace_file(directory / name, text.encode("utf-8"))
    return {what: directory / name for what, (name, _) in texts.items()}


def write_trends(history: Path, suite: str, trends: Sequence[Trend]) -> Path:
    """Write the page of a suite's history."""
    history.mkdir(parents=True, exist_ok=True)
    path = history / f"{suite}.html"
    replace_file(path, trend.page(suite, trends).encode("utf-8"))
    return path


def _write(run_dir: Path, chart: Chart) -> dict[str, bytes]:
    directory = run_dir / "figures"
    directory.mkdir(exist_ok=True)
    header, rows = chart.data()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    replace_file(directory / f"{chart.name}.csv", text.getvalue().encode("utf-8"))
    files = render(chart.draw, chart.name)
    for extension, content in files.items():
        replace_file(directory / f"{chart.name}.{extension}", content)
    return files


def replace_file(path: Path, content: bytes) -> None:
    """A reader finds the old file or the new one, never half of one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
