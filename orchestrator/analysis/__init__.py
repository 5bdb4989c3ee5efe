# SPDX-License-Identifier: Apache-2.0
"""From the raw files of a run to tables, statistics and verdicts. The only home of pandas."""

from orchestrator.analysis.claims import ClaimResult, Outcome
from orchestrator.analysis.compare import Row, compare, named_metrics
from orchestrator.analysis.histogram import Histogram
from orchestrator.analysis.points import Panel, Point, Points, Sample, Series
from orchestrator.analysis.raw import Record, Trial
from orchestrator.analysis.results import Results, build_results
from orchestrator.analysis.slo import MaxLoad, Objective, SloResult, State
from orchestrator.analysis.statistics import Estimate
from orchestrator.analysis.summary import Balance, Summary, Value
from orchestrator.analysis.verdicts import Judgement, Verdict

__all__ = [
    "Balance",
    "ClaimResult",
    "Estimate",
    "Histogram",
    "Judgement",
    "MaxLoad",
    "Objective",
    "Outcome",
    "Panel",
    "Point",
    "Points",
    "Record",
    "Results",
    "Row",
    "Sample",
    "Series",
    "SloResult",
    "State",
    "Summary",
    "Trial",
    "Value",
    "Verdict",
    "build_results",
    "compare",
    "named_metrics",
]
