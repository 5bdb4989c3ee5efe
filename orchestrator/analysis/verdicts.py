# SPDX-License-Identifier: Apache-2.0
"""Whether a metric of a point changed between two measurements: the one place that decides.

On the virtual clock each repetition is compared with the one of the same seed, in whole fractions,
so that a change of exactly the threshold is still "same" and no rounding moves it. On the wall
clock a change needs two things: the interval of the shift lies beyond the threshold, which is never
below what the host's own noise does to two measurements of one thing, and the Mann–Whitney test,
adjusted for all that was tested together, says that it is no chance. "Same" needs the whole
interval within the threshold. All else is inconclusive. docs/nightly.md explains each verdict.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from orchestrator.analysis.points import Sample
from orchestrator.analysis.ranks import (
    benjamini_hochberg,
    hodges_lehmann,
    mann_whitney,
    shift_ratio,
    smallest_p,
)
from orchestrator.analysis.statistics import Estimate
from orchestrator.analysis.thresholds import Threshold, threshold_for

FEWEST = 3
FALSE_SHARE = 0.05
NOISE_QUANTILE = 0.95
VIRTUAL = "virtual"


class Verdict(StrEnum):
    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"
    NOT_MEASURED = "not measured"


class Method(StrEnum):
    """What decided. NONE: there was nothing to test."""

    EXACT = "exact, by seed"
    RANKS = "Mann–Whitney, Benjamini–Hochberg"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one measurement has of a metric at a point: valid samples, and the others."""

    valid: tuple[Sample, ...]
    invalid: tuple[Sample, ...] = ()

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.valid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric at one point, before and after. None: that measurement does not have the point.

    noise: what changed, as shares, between measurements of the same thing. missing: why a side is
    None, in words. names: of the sides, in reasons.
    """

    metric: str
    clock: str
    direction: str
    before: Side | None
    after: Side | None
    noise: tuple[float, ...] = ()
    missing: str = ""
    names: tuple[str, str] = ("A", "B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with all it rests on.

    ratio: after / before. threshold: the share that counts as no change, the larger one of the
    table's (`practical`) and the noise. p, adjusted: of the test; None where there was none.
    """

    verdict: Verdict
    why: str
    test: Method = Method.NONE
    ratio: Estimate | None = None
    threshold: float = 0.0
    practical: float = 0.0
    practical_why: str = ""
    noise: float | None = None
    p: float | None = None
    adjusted: float | None = None


def judge(pairs: Sequence[Pair], *, threshold: float | None = None) -> list[Judgement]:
    """A judgement for each pair; those of the wall clock are tested as one family.

    threshold: instead of the table's, for every metric.
    """
    floors = noise_floors(pairs)
    drafts = [_draft(pair, floors, threshold) for pair in pairs]
    tested = [draft for draft in drafts if draft.p is not None]
    adjusted = iter(benjamini_hochberg([draft.p for draft in tested if draft.p is not None]))
    return [draft.settle(None if draft.p is None else next(adjusted)) for draft in drafts]


def noise_floors(pairs: Iterable[Pair]) -> dict[tuple[str, str], float]:
    """By metric and clock: what 95 of 100 comparisons of a thing with itself stay within (all of
    them, when there are fewer than 20)."""
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pair in pairs:
        seen[pair.metric, pair.clock] += [abs(change) for change in pair.noise]
    floors = {}
    for key, changes in seen.items():
        if changes:
            rank = math.ceil(NOISE_QUANTILE * len(changes))
            floors[key] = sorted(changes)[max(rank, 1) - 1]
    return floors


def noise_of_halves(samples: Sequence[Sample]) -> tuple[float, ...]:
    """The change, as a share, from every other repetition to the ones between: repetitions of one
    measurement alternate in time, so both halves met the same host. Empty for too few samples."""
    ordered = [sample.value for sample in sorted(samples, key=lambda one: one.repetition)]
    return noise_between(ordered[0::2], ordered[1::2])


def noise_between(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """The change from one measurement of a thing to another one of it."""
    if min(len(first), len(second)) < FEWEST or min(first) <= 0.0:
        return ()
    if not all(map(math.isfinite, (*first, *second))):
        return ()
    return (hodges_lehmann(first, second) / statistics.median(first),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A judgement before the p-values of all pairs are known."""

    pair: Pair
    limit: Threshold
    threshold: float
    noise: float | None
    done: tuple[Verdict, str] | None = None
    ratio: Estimate | None = None
    test: Method = Method.NONE
    p: float | None = None

    def settle(self, adjusted: float | None) -> Judgement:
        if self.done is not None:
            verdict, why = self.done
        else:
            assert adjusted is not None
            verdict, why = self._by_ranks(adjusted)
        return Judgement(
            verdict=verdict,
            why=why,
            test=self.test,
            ratio=self.ratio,
            threshold=self.threshold,
            practical=self.limit.share,
            practical_why=self.limit.why,
            noise=self.noise,
            p=self.p,
            adjusted=adjusted,
        )

    def _by_ranks(self, adjusted: float) -> tuple[Verdict, str]:
        ratio = self.ratio
        assert ratio is not None
        span = f"ratio {ratio.low:.3f} to {ratio.high:.3f}"
        bound = f"{self.threshold:.1%}"
        low, high = 1.0 / (1.0 + self.threshold), 1.0 + self.threshold
        if low <= ratio.low and ratio.high <= high:
            return Verdict.SAME, f"{span} lies within {bound}"
        if not (ratio.high < low or ratio.low > high):
            return Verdict.INCONCLUSIVE, f"{span} straddles {bound}"
        if adjusted > FALSE_SHARE:
            return Verdict.INCONCLUSIVE, f"{span} lies beyond {bound}, but {self._chance(adjusted)}"
        return _towards(ratio.low > high, self.pair.direction, f"{span} lies beyond {bound}")

    def _chance(self, adjusted: float) -> str:
        before, after = self.pair.before, self.pair.after
        assert before is not None and after is not None
        least = smallest_p(len(before.valid), len(after.valid))
        told = f"chance is not ruled out: p {self.p:.2g}, {adjusted:.2g} among all tests"
        if least > FALSE_SHARE:
            told += f"; {len(before.valid)} and {len(after.valid)} repetitions cannot do better"
        return told


def _towards(larger: bool, direction: str, what: str) -> tuple[Verdict, str]:
    if direction == "none":
        return Verdict.INCONCLUSIVE, f"{what}: changed, but neither way is better"
    better = larger == (direction == "higher")
    return (Verdict.FASTER if better else Verdict.SLOWER), what


def _draft(pair: Pair, floors: dict[tuple[str, str], float], threshold: float | None) -> _Draft:
    limit = threshold_for(pair.metric, pair.clock)
    if threshold is not None:
        limit = Threshold(metric="*", clock=pair.clock, share=threshold, why="as asked for")
    noise = floors.get((pair.metric, pair.clock)) if pair.clock != VIRTUAL else None
    done: tuple[Verdict, str] | None = None
    ratio: Estimate | None = None
    test, p = Method.NONE, None
    before, after = pair.before, pair.after
    if before is None or after is None:
        done = Verdict.NOT_MEASURED, pair.missing or f"only in {pair.names[before is None]}"
    elif not before.valid or not after.valid:
        without = [
            (name, side.invalid)
            for name, side in zip(pair.names, (before, after), strict=True)
            if not side.valid
        ]
        names = " and ".join(name for name, _ in without)
        reasons = dict.fromkeys(sample.reason for _, invalid in without for sample in invalid)
        done = Verdict.INVALID, f"no valid repetition in {names}: {'; '.join(reasons)}"
    elif pair.clock == VIRTUAL:
        test = Method.EXACT
        done, ratio = _exactly(before, after, pair.direction, limit.share)
    else:
        old, new = before.values, after.values
        done = _undecidable(old, new)
        if min(old) > 0.0 and all(map(math.isfinite, (*old, *new))):
            ratio = shift_ratio(old, new)
        if done is None:
            test, p = Method.RANKS, mann_whitney(old, new)
    return _Draft(
        pair=pair,
        limit=limit,
        threshold=max(limit.share, noise or 0.0),
        noise=noise,
        done=done,
        ratio=ratio,
        test=test,
        p=p,
    )


def _undecidable(before: Sequence[float], after: Sequence[float]) -> tuple[Verdict, str] | None:
    """The verdict on samples that cannot be tested; None for those that can."""
    n = min(len(before), len(after))
    if n < FEWEST:
        return Verdict.INCONCLUSIVE, f"{n} valid repetitions; {FEWEST} are needed"
    if set(before) == set(after) and len(set(before)) == 1:
        return Verdict.SAME, f"every repetition of both is {before[0]:g}"
    if min(before) <= 0.0:
        return Verdict.INCONCLUSIVE, "a ratio to zero says nothing"
    if not all(map(math.isfinite, (*before, *after))):
        return Verdict.INCONCLUSIVE, "a ratio to infinity says nothing"
    return None


def _exactly(
    before: Side, after: Side, direction: str, share: float
) -> tuple[tuple[Verdict, str], Estimate | None]:
    """Repetitions of one seed are one trial, done twice: any difference is a change of the code.

    The median over the seeds decides; its range is told."""
    first = {sample.seed: sample.value for sample in before.valid}
    pairs = [(first[one.seed], one.value) for one in after.valid if one.seed in first]
    if not pairs:
        return (Verdict.NOT_MEASURED, "no seed was measured on both sides"), None
    if not all(math.isfinite(value) for values in pairs for value in values):
        return (Verdict.INCONCLUSIVE, "a ratio to infinity says nothing"), None
    if any(old < 0.0 or (old == 0.0) != (new == 0.0) for old, new in pairs):
        return _from_zero(pairs, direction), None
    ratios = [Fraction(new) / Fraction(old) if old else Fraction(1) for old, new in pairs]
    middle, limit = statistics.median(ratios), 1 + Fraction(str(share))
    low, high = float(min(ratios)), float(max(ratios))
    estimate = Estimate(value=float(middle), low=low, high=high, n=len(ratios))
    span = f" (seeds: {low - 1:+.3%} to {high - 1:+.3%})" if len(ratios) > 1 else ""
    told = f"{float(middle) - 1:+.3%} over {len(ratios)} seed{'s' * (len(ratios) > 1)}{span}"
    if 1 / limit <= middle <= limit:
        if all(ratio == 1 for ratio in ratios):
            told = f"identical in {len(ratios)} seed{'s' * (len(ratios) > 1)}"
        return (Verdict.SAME, f"{told}, within {share:.2%}"), estimate
    return _towards(middle > limit, direction, f"{told}, beyond {share:.2%}"), estimate


def _from_zero(pairs: Sequence[tuple[float, float]], direction: str) -> tuple[Verdict, str]:
    """Something where there was nothing is a change that no share can express."""
    old = statistics.median(pair[0] for pair in pairs)
    new = statistics.median(pair[1] for pair in pairs)
    told = f"from {old:g} to {new:g} over {len(pairs)} seed{'s' * (len(pairs) > 1)}"
    if old == new:
        return Verdict.INCONCLUSIVE, f"{told}: single seeds changed from or to zero"
    return _towards(new > old, direction, told)
