# SPDX-License-Identifier: Apache-2.0
"""A run against its repetition elsewhere: inputs, files of trials, and metrics.

On the virtual clock everything must be identical, to the last byte. On the wall clock files hold
times and differ; metrics are judged as `compare` judges them, by intervals of ratios.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.analysis.compare import compare
from orchestrator.analysis.results import Results
from orchestrator.analysis.verdicts import Verdict
from orchestrator.host.hashes import sha256


class Same(StrEnum):
    """How something of the first run is found in the second."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One raw file of one trial. trial: its number in the order of the plan."""

    trial: int
    label: str
    file: str
    verdict: Same


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric over all trials. counts: values, or points, of each verdict.

    worst: the largest relative difference of a value, or of a ratio of medians from 1.
    """

    metric: str
    unit: str
    counts: Mapping[str, int]
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """clock: both runs' own. inputs: name, of the first run, of the second."""

    clock: str
    inputs: Sequence[tuple[str, str, str]]
    files: Sequence[FileRow]
    metrics: Sequence[MetricRow]

    @property
    def is_exact(self) -> bool:
        return self.clock == "virtual"

    def count(self, *verdicts: str) -> int:
        """Files, on the virtual clock also values of metrics, with one of the verdicts."""
        files = sum(row.verdict in verdicts for row in self.files) if self.is_exact else 0
        return files + sum(row.counts.get(one, 0) for row in self.metrics for one in verdicts)

    @property
    def failed(self) -> bool:
        """Whether something is not as it was."""
        if self.is_exact:
            return bool(self.count(Same.DIFFERENT, Same.MISSING, Same.EXTRA))
        return bool(self.count(Verdict.FASTER, Verdict.SLOWER, Verdict.NOT_MEASURED))

    @property
    def decided(self) -> bool:
        """Whether there was something to compare, and it allowed a verdict."""
        return bool(self.count(Same.IDENTICAL if self.is_exact else Verdict.SAME)) or self.failed


def reproduction(first: Results, second: Results, tolerance: float) -> Reproduction:
    """Compare a run with its repetition. Trials are matched by their place in the plan, because
    their ids hold hashes of inputs. tolerance: of ratios, on the wall clock."""
    exact = first.clocks == ["virtual"]
    return Reproduction(
        clock="/".join(first.clocks),
        inputs=_inputs(first.manifest, second.manifest),
        files=_files(first, second),
        metrics=_values(first, second) if exact else _ratios(first, second, tolerance),
    )


def _inputs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    before, after = first["inputs"], second["inputs"]
    return [(name, str(before[name]), str(after.get(name, ""))) for name in before]


def _trials(results: Results) -> dict[int, tuple[str, str]]:
    """The id and a few words of each trial, by its place."""
    found = {}
    for trial in (record.trial for record in results.records):
        words = [trial.variant, *(f"{key}={value}" for key, value in trial.axes.items())]
        words.append(f"#{trial.repetition}")
        words += [] if trial.kind == "measure" else [f"({trial.kind})"]
        found[trial.index] = (trial.id, " ".join(words))
    return found


def _files(first: Results, second: Results) -> list[FileRow]:
    before, after = _trials(first), _trials(second)
    rows = []
    for index in sorted(before.keys() | after.keys()):
        old = _digests(first.directory, before[index][0]) if index in before else {}
        new = _digests(second.directory, after[index][0]) if index in after else {}
        label = before[index][1] if index in before else after[index][1]
        for name in sorted(old.keys() | new.keys()):
            verdict = _verdict(old.get(name), new.get(name))
            rows.append(FileRow(trial=index, label=label, file=name, verdict=verdict))
    return rows


def _digests(run: Path, trial: str) -> dict[str, str]:
    root = run / "trials" / trial
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path) for path in files}


def _verdict[Value](old: Value | None, new: Value | None) -> Same:
    if old is None:
        return Same.EXTRA
    if new is None:
        return Same.MISSING
    return Same.IDENTICAL if old == new else Same.DIFFERENT


def _values(first: Results, second: Results) -> list[MetricRow]:
    """Every value of every metric, of the same trial and machine."""
    old, new = _cells(first), _cells(second)
    verdicts: dict[tuple[str, str], list[Same]] = {}
    worst: dict[tuple[str, str], float] = {}
    for key in dict.fromkeys((*old, *new)):
        metric = key[2:]
        before, after = old.get(key), new.get(key)
        verdicts.setdefault(metric, []).append(_verdict(before, after))
        if before is not None and after is not None and before != after:
            worst[metric] = max(worst.get(metric, 0.0), _distance(before[0], after[0]))
    return [
        MetricRow(
            metric=metric,
            unit=unit,
            counts={one: found.count(one) for one in Same if one in found},
            worst=worst.get((metric, unit), 0.0),
        )
        for (metric, unit), found in verdicts.items()
    ]


type _Key = tuple[int, str, str, str]


def _cells(results: Results) -> dict[_Key, tuple[str, str]]:
    """Value and reason of each cell of the table, by trial, machine, metric and unit. As text: a
    value that is none equals itself, and digits that are shown nowhere count too."""
    places = {trial: index for index, (trial, _) in _trials(results).items()}
    names = ["trial", "machine", "metric", "unit", "value", "reason"]
    rows = zip(*(results.table[name].tolist() for name in names), strict=True)
    return {
        (places[trial], machine, metric, unit): (repr(value), str(reason))
        for trial, machine, metric, unit, value, reason in rows
    }


def _distance(before: str, after: str) -> float:
    old, new = float(before), float(after)
    if old == new or (math.isnan(old) and math.isnan(new)):
        return 0.0
    return abs(new - old) / abs(old) if old and math.isfinite(old) else math.inf


def _ratios(first: Results, second: Results, tolerance: float) -> list[MetricRow]:
    """Points by metric, judged by the interval of the ratio of medians."""
    rows = compare(first.points, second.points, threshold=tolerance)
    found = []
    for metric, unit in dict.fromkeys((row.metric, row.unit) for row in rows):
        own = [row for row in rows if row.metric == metric]
        verdicts = [str(row.verdict) for row in own]
        ratios = [row.ratio.value for row in own if row.ratio is not None and row.ratio.value > 0]
        worst = max((max(ratio, 1 / ratio) - 1 for ratio in ratios), default=math.nan)
        counts = {str(one): verdicts.count(one) for one in Verdict if one in verdicts}
        found.append(MetricRow(metric=metric, unit=unit, counts=counts, worst=worst))
    return found
