# SPDX-License-Identifier: Apache-2.0
"""Claims of an experiment against what was measured.

`VARIANT.METRIC[load=2000]` is the metric at these points. Without brackets the whole sweep is
meant, which is read as one would say it aloud: a throughput is the largest median over the sweep,
a latency the smallest (the unloaded one), and anything else the median over all trials.

A claim is evaluated on the medians, and again on 10,000 bootstrap resamples of the repetitions.
It is reproduced, or not reproduced, when at least 95 % of the resamples agree with the medians.
Otherwise the repetitions do not decide it, and it is not measurable here, like a claim about
something that was not or could not be measured. On the wall clock fewer than three repetitions
decide nothing; on the virtual clock one is exact. The kernel's counts (accounting) enter as they
are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.points import Point, Points, Sample
from orchestrator.analysis.raw import Record
from orchestrator.analysis.slo import State
from orchestrator.analysis.statistics import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Estimate,
    attainable_confidence,
    median_interval,
)
from orchestrator.analysis.summary import Summary
from orchestrator.spec.claims import (
    Arithmetic,
    Call,
    ClaimError,
    Comparator,
    Comparison,
    Expression,
    Negation,
    Number,
    Reference,
    parse_claim,
    references,
)
from orchestrator.spec.metrics import find_metric
from orchestrator.spec.units import split_quantity

FEWEST = 3

type Floats = NDArray[np.float64]


class Outcome(StrEnum):
    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_MEASURABLE = "not measurable here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric as a claim uses it: its median with the interval of the median, in its unit."""

    reference: str
    unit: str
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """A claim with its verdict. undecided: measured, but the repetitions disagree.

    holds: the share of resamples in which the comparison is true; NaN when not evaluated.
    """

    text: str
    expression: str
    source: str
    clock: str
    outcome: Outcome
    undecided: bool
    reason: str
    measured: tuple[Measured, ...]
    holds: float


class _NotMeasurable(Exception):
    pass


def evaluate_all(
    manifest: Mapping[str, Any],
    points: Points,
    records: Sequence[Record],
    summaries: Sequence[Summary],
) -> list[ClaimResult]:
    """All claims of the run's experiment, in their order."""
    experiment = manifest.get("experiment")
    claims = experiment.get("claims") if isinstance(experiment, dict) else None
    evaluator = Evaluator(points, records, summaries)
    return [evaluator.evaluate(claim) for claim in claims or () if isinstance(claim, dict)]


class Evaluator:
    """Evaluates claims on one run."""

    def __init__(
        self, points: Points, records: Sequence[Record], summaries: Sequence[Summary]
    ) -> None:
        self._points = points
        self._records = records
        self._summaries = summaries

    def evaluate(self, claim: Mapping[str, Any]) -> ClaimResult:
        """claim: text, expression, source and optionally the clock it needs."""
        clocks = {series.clock for series in self._points.series}
        clock = "/".join(sorted(clocks))
        outcome, undecided, holds = Outcome.NOT_MEASURABLE, False, float("nan")
        measured: tuple[Measured, ...] = ()
        try:
            wanted = claim.get("clock")
            if wanted and clocks != {wanted}:
                raise _NotMeasurable(f"needs the {wanted} clock; this run used: {clock or 'none'}")
            comparison = parse_claim(str(claim["expression"]))
            asked = {str(ref): ref for ref in references(comparison)}
            samples = {name: self.samples(ref) for name, ref in asked.items()}
            outcome, undecided, holds, reason = _decide(comparison, samples, clock)
            measured = tuple(_measured(asked[name], values) for name, values in samples.items())
        except _NotMeasurable as error:
            reason = str(error)
        except (ClaimError, KeyError) as error:
            reason = f"the claim cannot be read: {error}"
        return ClaimResult(
            text=str(claim.get("text", "")),
            expression=str(claim.get("expression", "")),
            source=str(claim.get("source", "")),
            clock=clock,
            outcome=outcome,
            undecided=undecided,
            reason=reason,
            measured=measured,
            holds=holds,
        )

    def samples(self, ref: Reference) -> Floats:
        """The repetitions that a reference stands for. Raises _NotMeasurable."""
        if ref.metric == "max_load_under_slo":
            return self._max_load(ref)
        trials = self._chosen(ref)
        found = [
            (point, [sample for sample in point.valid if sample.trial in trials])
            for series in self._points.series
            for point in self._points.curve(series, ref.metric)
            if any(sample.trial in trials for sample in (*point.valid, *point.invalid))
        ]
        usable = [(point, samples) for point, samples in found if samples]
        if not usable:
            raise _NotMeasurable(_why_nothing(ref, [point for point, _ in found], trials))
        return np.array([sample.value for sample in _of_sweep(ref.metric, usable)])

    def _chosen(self, ref: Reference) -> set[str]:
        return {
            record.trial.id
            for record in self._records
            if record.trial.variant == ref.variant
            and all(_same(record.trial.axes.get(key), value) for key, value in ref.where)
        }

    def _max_load(self, ref: Reference) -> Floats:
        chosen = self._chosen(ref)
        wanted = {
            (trial.subject, trial.workload_label)
            for trial in (record.trial for record in self._records)
            if trial.id in chosen and trial.kind == "measure"
        }
        found = [
            one for one in self._summaries if (one.series.variant, one.series.workload) in wanted
        ]
        if not found:
            raise _NotMeasurable(f"{ref} was not measured")
        if len(found) > 1:
            names = sorted(f"{one.series.variant}, {one.series.workload}" for one in found)
            raise _NotMeasurable(
                f"{ref} means {len(names)} curves; name one in brackets: {'; '.join(names)}"
            )
        slo = found[0].slo
        if slo is None:
            raise _NotMeasurable("the experiment names no slo, or has no open-loop points")
        answers = [one for one in slo.answers if one.state is not State.NO_POINTS]
        if answers and all(one.state is State.MEASURED for one in answers):
            return np.array([one.rps for one in answers])
        raise _NotMeasurable(f"{ref}: {slo.median.state}")


def _same(found: str | None, wanted: str) -> bool:
    if found is None:
        return False
    return found == wanted or (_amount(found) is not None and _amount(found) == _amount(wanted))


def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        found = split_quantity(text)
        return found[1] if found is not None else None


def _why_nothing(ref: Reference, points: Sequence[Point], trials: set[str]) -> str:
    void = [sample for point in points for sample in point.invalid if sample.trial in trials]
    if void:
        return f"{ref}: no valid trial: {'; '.join(dict.fromkeys(s.reason for s in void))}"
    return f"{ref} was not measured" if trials else f"needs {ref}: this run has no such point"


def _of_sweep(metric: str, points: Sequence[tuple[Point, list[Sample]]]) -> list[Sample]:
    def median(entry: tuple[Point, list[Sample]]) -> float:
        return float(np.median([sample.value for sample in entry[1]]))

    if metric == "achieved_rps":
        return max(points, key=median)[1]
    if "latency_" in metric:
        return min(points, key=median)[1]
    return [sample for _, samples in points for sample in samples]


def _measured(ref: Reference, values: Floats) -> Measured:
    metric = find_metric(ref.metric)
    return Measured(
        reference=str(ref),
        unit=metric.unit if metric is not None else "",
        estimate=median_interval(values),
    )


def _decide(
    comparison: Comparison, samples: Mapping[str, Floats], clock: str
) -> tuple[Outcome, bool, float, str]:
    medians = {name: np.array([np.median(values)]) for name, values in samples.items()}
    truth = bool(_holds(comparison, medians)[0])
    random = np.random.default_rng(SEED)
    resampled = {}
    for name, values in samples.items():
        rows = random.integers(0, len(values), size=(RESAMPLES, len(values)))
        resampled[name] = np.median(values[rows], axis=1)
    holds = float(np.mean(_holds(comparison, resampled))) if resampled else float(truth)
    fewest = _fewest(comparison, samples)
    if clock != "virtual" and fewest < FEWEST:
        return (
            Outcome.NOT_MEASURABLE,
            True,
            holds,
            f"{fewest} valid repetition{'s' * (fewest != 1)} on the wall clock; "
            f"{FEWEST} are needed",
        )
    agree = holds if truth else 1.0 - holds
    outcome = Outcome.REPRODUCED if truth else Outcome.NOT_REPRODUCED
    share = f"holds in {holds:.0%} of resamples"
    if agree < CONFIDENCE:
        return (
            Outcome.NOT_MEASURABLE,
            True,
            holds,
            f"the repetitions do not decide it: {share}; measure with more repetitions",
        )
    if clock == "virtual" and fewest <= 1:
        share = "a measurement on the virtual clock is exact"
    elif clock != "virtual" and not math.isinf(fewest):
        attainable = min(CONFIDENCE, attainable_confidence(int(fewest)))
        share += f"; {fewest} repetitions give at most {attainable:.0%} confidence"
    return outcome, False, holds, share


def _fewest(comparison: Comparison, samples: Mapping[str, Floats]) -> float:
    """The repetitions that the verdict rests on. The kernel's own counts are no timings: each
    variant has one trial of them, and they do not enter; infinite when there is nothing else."""
    timed = [
        len(samples[str(ref)])
        for ref in references(comparison)
        if (known := find_metric(ref.metric)) is None or known.scope != "accounting"
    ]
    return min(timed, default=math.inf)


def _holds(comparison: Comparison, values: Mapping[str, Floats]) -> NDArray[np.bool_]:
    terms = [_value(term, values) for term in comparison.terms]
    result: NDArray[np.bool_] = np.array([True])
    for sign, left, right in zip(comparison.comparators, terms, terms[1:], strict=False):
        result = np.logical_and(result, _compare(sign, left, right))
    return result


def _compare(sign: Comparator, left: Floats, right: Floats) -> NDArray[np.bool_]:
    match sign:
        case "<":
            return np.less(left, right)
        case "<=":
            return np.less_equal(left, right)
        case ">":
            return np.greater(left, right)
        case ">=":
            return np.greater_equal(left, right)
        case "==":
            return np.equal(left, right)


def _value(node: Expression, values: Mapping[str, Floats]) -> Floats:
    match node:
        case Number(value=value):
            return np.array([value])
        case Reference():
            return values[str(node)]
        case Negation(operand=operand):
            return -_value(operand, values)
        case Arithmetic(operator=operator, left=left, right=right):
            return _arithmetic(operator, _value(left, values), _value(right, values))
        case Call(function=function, arguments=arguments):
            parts = [_value(argument, values) for argument in arguments]
            if function == "abs":
                return np.abs(parts[0])
            combine = np.minimum if function == "min" else np.maximum
            result = parts[0]
            for part in parts[1:]:
                result = combine(result, part)
            return result


def _arithmetic(operator: str, left: Floats, right: Floats) -> Floats:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            if (right == 0).any():
                raise _NotMeasurable("the claim divides by a metric that is 0")
            return left / right
