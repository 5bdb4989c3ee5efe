# SPDX-License-Identifier: Apache-2.0
"""Everything a report or a verdict needs from a run, computed once."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.analysis import claims, tables
from orchestrator.analysis.histogram import Histogram, merge
from orchestrator.analysis.points import Points, Series, points
from orchestrator.analysis.raw import Record, read_run
from orchestrator.analysis.slo import Objective
from orchestrator.analysis.summary import Summary, belongs, summarise
from orchestrator.errors import InfrastructureError
from orchestrator.run import journal
from orchestrator.spec.metrics import SUMMARY_METRICS
from orchestrator.spec.units import parse_duration_ns

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. `table` is the tidy table; everything else is a view of it and the raw files.

    metrics: those that the experiment wants in the summary.
    titles: the name of each variant (as `Series.variant` has it) in figures.
    """

    run: str
    directory: Path
    manifest: Mapping[str, Any]
    records: Sequence[Record]
    table: pd.DataFrame
    points: Points
    objective: Objective | None
    metrics: Sequence[str]
    summaries: Sequence[Summary]
    claims: Sequence[claims.ClaimResult]
    titles: Mapping[str, str]

    @property
    def clocks(self) -> list[str]:
        return sorted({record.trial.clock for record in self.records})

    @property
    def invalid(self) -> int:
        """Load measurements that may not be used."""
        return sum(summary.invalid for summary in self.summaries) + sum(
            1 for record in self.records if not record.trial.variant
        )

    def histogram(self, series: Series, offered_rps: float) -> Histogram | None:
        """All valid repetitions of one point together; None when there are none."""
        found = [
            record.load.latency
            for record in self.records
            if record.trial.kind == "measure"
            and belongs(record, series)
            and not record.reason
            and record.load is not None
            and _same(record.trial.offered_rps, offered_rps)
        ]
        return merge(found) if found else None


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """manifest.json. Raises InfrastructureError when it is missing or damaged."""
    path = run_dir / "manifest.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InfrastructureError(
            f"{run_dir} is no run: it has no manifest.json",
            hint="list the runs with: ./ringbed status",
        ) from None
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict):
        raise InfrastructureError(f"{path} is damaged: it holds no JSON object")
    return data


def build_results(run_dir: Path) -> Results:
    """Read a run and write its results.parquet and results.csv.

    Raises InfrastructureError when the manifest or the journal cannot be read. Trials that cannot
    be read are kept, void with the reason.
    """
    manifest = read_manifest(run_dir)
    records = read_run(run_dir, manifest)
    _explain_from_journal(records, run_dir / "journal.jsonl")
    run = str(manifest.get("run") or run_dir.name)
    table = tables.build(run, records)
    tables.write(table, run_dir)
    experiment = experiment_of(manifest)
    grouped = points(table, tuple(experiment.get("variants") or ()))
    objective = objective_of(manifest)
    metrics = _metric_names(experiment)
    summaries = summarise(grouped, records, objective, metrics)
    return Results(
        run=run,
        directory=run_dir,
        manifest=manifest,
        records=records,
        table=table,
        points=grouped,
        objective=objective,
        metrics=metrics,
        summaries=summaries,
        claims=claims.evaluate_all(manifest, grouped, records, summaries),
        titles=_titles(manifest, records),
    )


def experiment_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The experiment as the run read it; empty when the manifest lacks it."""
    experiment = manifest.get("experiment")
    return experiment if isinstance(experiment, dict) else {}


def _metric_names(experiment: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics of the summary; the model's own where the manifest names none."""
    entries = experiment.get("metrics") or SUMMARY_METRICS
    return tuple(one["name"] if isinstance(one, dict) else str(one) for one in entries)


def objective_of(manifest: Mapping[str, Any]) -> Objective | None:
    """The latency objective of the run's experiment, if it names one."""
    slo = experiment_of(manifest).get("slo")
    if not isinstance(slo, dict):
        return None
    try:
        limit = parse_duration_ns(slo["limit"])
    except (KeyError, ValueError) as error:
        raise InfrastructureError(f"manifest.json: experiment.slo.limit: {error}") from error
    return Objective(metric=str(slo.get("metric", "latency_p99")), limit_ns=float(limit))


def titles_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The names that the experiment gives its variants for figures."""
    variants = experiment_of(manifest).get("variants")
    return {
        name: str(variant["title"])
        for name, variant in (variants.items() if isinstance(variants, dict) else ())
        if isinstance(variant, dict) and variant.get("title")
    }


def _titles(manifest: Mapping[str, Any], records: Sequence[Record]) -> dict[str, str]:
    """A name in figures for each subject: the variant's title with the axes that vary it."""
    titles = titles_of(manifest)
    return {
        trial.subject: titles.get(trial.variant, trial.variant)
        + trial.subject.removeprefix(trial.variant)
        for trial in (record.trial for record in records)
    }


def _explain_from_journal(records: Sequence[Record], path: Path) -> None:
    """A trial that was under way when the run died left no trial.json to say so; the journal
    does."""
    progress = journal.progress(path)
    for record in records:
        if "trial" not in record.faults:
            continue
        if record.trial.id in progress.under_way:
            record.faults["trial"] = "the run ended while this trial was under way"
        elif reason := progress.reasons.get(record.trial.id):
            record.faults["trial"] = reason
