# SPDX-License-Identifier: Apache-2.0
"""Views of a run's tables: report.html, figures, rows for the terminal. No statistics here."""

from orchestrator.report.claims import claim_rows
from orchestrator.report.terminal import comparisons, summary_notes, summary_rows
from orchestrator.report.writer import (
    figure_names,
    write_figure,
    write_nightly,
    write_report,
    write_trends,
)

__all__ = [
    "claim_rows",
    "comparisons",
    "figure_names",
    "summary_notes",
    "summary_rows",
    "write_figure",
    "write_nightly",
    "write_report",
    "write_trends",
]
