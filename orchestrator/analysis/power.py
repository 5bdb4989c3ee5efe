# SPDX-License-Identifier: Apache-2.0
"""How sensitive verdicts are: false alarms over pairs that differ in nothing, detections over pairs
that do differ, and the threshold that follows for each metric."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis import verdicts
from orchestrator.analysis.cells import Cell
from orchestrator.analysis.thresholds import threshold_for
from orchestrator.analysis.verdicts import Judgement, Verdict
from orchestrator.errors import UsageError
from orchestrator.run import neutral
from orchestrator.run.neutral import Change
from orchestrator.run.power import Side
from orchestrator.spec import Part

type Bench = Callable[[Side], Sequence[Cell]]

SEED_SETS = 2
# What tells how much a share of the server's work is, in instructions.
COST = "instructions_per_request"

# The rule: half as much again as the largest neutral change that was seen, in whole tenths of a
# percent, and never below the default.
MARGIN = 1.5
STEP = 0.001
LEAST = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two measurements, and what was changed between them."""

    change: str
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """share: by how much more work a request makes in the pairs `slowed`. seeds: pairs of the same
    programs with other seeds."""

    share: float
    same: tuple[Pair, ...]
    slowed: tuple[Pair, ...]
    seeds: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Of one metric. Changes are shares, without their sign.

    derived: the threshold that follows from the neutral changes; threshold: the one in force.
    alarms: neutral pairs that were called faster or slower, by the threshold in force. unseen: the
    same, each pair judged by the threshold that follows from all the others alone.
    slowdown: median change in the slowed pairs. least: the smallest change that is sure to be
    found beside the largest neutral one.
    """

    metric: str
    pairs: int
    middle: float
    largest: float
    derived: float
    threshold: float
    alarms: int
    unseen: int
    slowed: int
    slowdown: float
    found: int

    @property
    def least(self) -> float:
        return self.threshold + self.largest


def examine(
    parts: Sequence[Part], own: Sequence[Part], pairs: int, bench: Bench, share: float
) -> Power:
    """Measure so many neutral pairs, and as many in which the server does `share` more work.

    The pairs are dealt out in turn to the experiments (those with more work to `own`, whose
    server's source is here) and to sets of seeds, so that neither an application nor a sample of
    arrivals stands for all. All sides of one set of seeds share their base.
    """
    seeds = range(1, SEED_SETS + 1)
    bases = {
        (part.name, seed): tuple(bench(Side(part=part, seed=seed)))
        for part in parts
        for seed in seeds
    }

    def pair(place: int, change: Change, among: Sequence[Part], share: float) -> Pair:
        # The kinds of change take turns fastest, then the experiments, then the seeds.
        turn = place // len(neutral.Kind)
        part, seed = among[turn % len(among)], 1 + turn // len(among) % SEED_SETS
        before = bases[part.name, seed]
        rounds = _rounds(before, share) if share else 0
        after = bench(Side(part=part, seed=seed, change=change, rounds=rounds))
        return Pair(change=str(change.kind), before=before, after=tuple(after))

    same, slowed = [], []
    for place, change in enumerate(neutral.changes(pairs)):
        same.append(pair(place, change, parts, 0.0))
        slowed.append(pair(place, change, own, share))
    return Power(
        share=share,
        same=tuple(same),
        slowed=tuple(slowed),
        seeds=tuple(_other_seeds(parts, bases)),
    )


def _other_seeds(
    parts: Sequence[Part], bases: Mapping[tuple[str, int], tuple[Cell, ...]]
) -> Iterator[Pair]:
    for part in parts:
        for seed in range(2, SEED_SETS + 1):
            yield Pair(change="seeds", before=bases[part.name, 1], after=bases[part.name, seed])


def _rounds(base: Sequence[Cell], share: float) -> int:
    """How often the added loop goes round to make a request cost so much more."""
    costs = [cell.side.values for cell in base if cell.key.metric == COST]
    if not costs or not costs[0]:
        raise UsageError(
            f"{share:.0%} of the server's work is not known: {COST} was not measured",
            hint="the suite must name this metric",
        )
    return round(share * statistics.median(costs[0]) / neutral.INSTRUCTIONS_A_ROUND)


def sensitivities(power: Power) -> list[Sensitivity]:
    """One for each metric, in the order in which it was measured."""
    metrics = dict.fromkeys(cell.key.metric for pair in power.same for cell in pair.before)
    return [_of(metric, power) for metric in metrics]


def alarmed(power: Power) -> int:
    """Neutral pairs in which a metric was called anything but the same."""
    return sum(bool(_verdicts(pair) - {Verdict.SAME}) for pair in power.same)


def detected(power: Power) -> int:
    """Slowed pairs in which a metric was called slower."""
    return sum(Verdict.SLOWER in _verdicts(pair) for pair in power.slowed)


def _verdicts(pair: Pair) -> set[Verdict]:
    metrics = dict.fromkeys(cell.key.metric for cell in pair.before)
    return {judgement.verdict for metric in metrics for judgement in _judged(pair, metric)}


def derive(changes: Sequence[float]) -> float:
    """The threshold that follows from neutral changes."""
    most = max(changes, default=0.0)
    # Rounding first: 1.5 x 0.4 % is 0.6 %, whatever binary fractions make of it.
    return max(LEAST, math.ceil(round(MARGIN * most / STEP, 6)) * STEP)


def by_kind(power: Power, metric: str) -> dict[str, float]:
    """The largest change of each kind of neutral change."""
    found: dict[str, float] = {}
    for pair in power.same:
        for judgement in _judged(pair, metric):
            found[pair.change] = max(found.get(pair.change, 0.0), _change(judgement))
    return found


def between_seeds(power: Power, metric: str) -> tuple[float, set[Verdict]]:
    """How far apart the medians of two sets of seeds lie at most, and the verdicts on them."""
    apart, said = 0.0, set()
    for pair in power.seeds:
        for before, after in _cells(pair, metric):
            old, new = (statistics.median(one.side.values) for one in (before, after))
            apart = max(apart, abs(new / old - 1.0))
        said |= {judgement.verdict for judgement in _judged(pair, metric)}
    return apart, said


def _of(metric: str, power: Power) -> Sensitivity:
    same = [judgement for pair in power.same for judgement in _judged(pair, metric)]
    slowed = [judgement for pair in power.slowed for judgement in _judged(pair, metric)]
    changes = [_change(judgement) for judgement in same]
    others = [changes[:place] + changes[place + 1 :] for place in range(len(changes))]
    return Sensitivity(
        metric=metric,
        pairs=len(same),
        middle=statistics.median(changes),
        largest=max(changes),
        derived=derive(changes),
        threshold=threshold_for(metric, verdicts.VIRTUAL).share,
        alarms=sum(judgement.verdict is not Verdict.SAME for judgement in same),
        unseen=sum(change > derive(rest) for change, rest in zip(changes, others, strict=True)),
        slowed=len(slowed),
        slowdown=statistics.median(
            judgement.ratio.value - 1.0 for judgement in slowed if judgement.ratio
        ),
        found=sum(judgement.verdict is Verdict.SLOWER for judgement in slowed),
    )


def _cells(pair: Pair, metric: str) -> Iterator[tuple[Cell, Cell]]:
    after = {cell.key: cell for cell in pair.after}
    for cell in pair.before:
        if cell.key.metric == metric and cell.key in after:
            yield cell, after[cell.key]


def _judged(pair: Pair, metric: str) -> list[Judgement]:
    return verdicts.judge(
        [
            verdicts.Pair(
                metric=metric,
                clock=before.key.clock,
                direction=before.direction,
                before=before.side,
                after=after.side,
            )
            for before, after in _cells(pair, metric)
        ]
    )


def _change(judgement: Judgement) -> float:
    """As verdicts see it: a ratio of 0.8 is as far from 1 as one of 1.25."""
    if judgement.ratio is None:
        return math.inf
    ratio = judgement.ratio.value
    return max(ratio, 1.0 / ratio) - 1.0 if ratio > 0.0 else math.inf
