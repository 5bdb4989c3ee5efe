# SPDX-License-Identifier: Apache-2.0
"""How sensitive verdicts are: false alarms over pairs that differ in nothing, detections over pairs
that do differ, and the threshold that follows for each metric."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

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
    """Two measurements, and what was changed between them. seed: names the set of seeds that the
    side `after` has."""

    change: str
    experiment: str
    seed: int
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
    """Of one metric. Changes are shares, without their sign; None where no pair tells one.

    pairs, slowed: that could be judged; unjudged: of both, that could not, because a side is
    missing or void, or nothing of it can be compared.
    derived: the threshold that follows from the neutral changes; threshold: the one in force.
    alarms: neutral pairs that were called faster or slower, by the threshold in force. unseen: the
    same, each pair judged by the threshold that follows from all the others alone.
    slowdown: median change in the slowed pairs. least: any larger change is sure to be found
    beside the largest neutral one.
    """

    metric: str
    pairs: int
    unjudged: int
    middle: float | None
    largest: float | None
    derived: float | None
    threshold: float
    alarms: int
    unseen: int
    slowed: int
    slowdown: float | None
    found: int

    @property
    def least(self) -> float | None:
        return None if self.largest is None else surely_seen(self.threshold, self.largest)


def examine(
    parts: Sequence[Part], own: Sequence[Part], pairs: int, bench: Bench, share: float
) -> Power:
    """Measure so many neutral pairs, and as many in which the server does `share` more work; the
    number is rounded up by `dealt`.

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
        return Pair(
            change=str(change.kind),
            experiment=part.name,
            seed=seed,
            before=before,
            after=tuple(after),
        )

    same, slowed = [], []
    for place, change in enumerate(neutral.changes(dealt(pairs, parts, own))):
        same.append(pair(place, change, parts, 0.0))
        slowed.append(pair(place, change, own, share))
    return Power(
        share=share,
        same=tuple(same),
        slowed=tuple(slowed),
        seeds=tuple(_other_seeds(parts, bases)),
    )


def dealt(pairs: int, parts: Sequence[Part], own: Sequence[Part]) -> int:
    """The next number of pairs with which every kind of change meets every experiment and every
    set of seeds equally often."""
    round_of_all = len(neutral.Kind) * SEED_SETS * math.lcm(len(parts), len(own))
    return math.ceil(pairs / round_of_all) * round_of_all


def _other_seeds(
    parts: Sequence[Part], bases: Mapping[tuple[str, int], tuple[Cell, ...]]
) -> Iterator[Pair]:
    for part in parts:
        for seed in range(2, SEED_SETS + 1):
            yield Pair(
                change="seeds",
                experiment=part.name,
                seed=seed,
                before=bases[part.name, 1],
                after=bases[part.name, seed],
            )


def _rounds(base: Sequence[Cell], share: float) -> int:
    """How often the added loop goes round to make a request cost so much more."""
    costs = [cell.side.values for cell in base if cell.key.metric == COST]
    if not costs or not costs[0]:
        raise UsageError(
            f"{percent(share)} of the server's work is not known: {COST} was not measured",
            hint="the suite must name this metric",
        )
    return round(share * statistics.median(costs[0]) / neutral.INSTRUCTIONS_A_ROUND)


def percent(share: float) -> str:
    """A share that was asked for, in all its digits: 0.2%, 1%."""
    return f"{100 * share:.6g}%"


def sensitivities(power: Power) -> list[Sensitivity]:
    """One for each metric, in the order in which it was measured."""
    metrics = dict.fromkeys(
        metric for pair in (*power.same, *power.slowed) for metric in _names(pair)
    )
    return [_of(metric, power) for metric in metrics]


def alarmed(power: Power) -> int:
    """Neutral pairs in which a metric was called anything but the same."""
    return sum(any(_is_alarm(one) for one in _all_judged(pair)) for pair in power.same)


def detected(power: Power) -> int:
    """Slowed pairs in which a metric of the server's cost was called slower."""
    return sum(bool(_finders(pair)) for pair in power.slowed)


def finders(power: Power) -> list[tuple[str, int]]:
    """The metrics of cost that found added work, and in how many pairs; the best one first."""
    return Counter(metric for pair in power.slowed for metric in _finders(pair)).most_common()


def _finders(pair: Pair) -> list[str]:
    """A latency that is slower may be so by chance; what a request costs tells added work."""
    costs = (name for name in _names(pair) if name == COST or name.startswith(f"{COST}_"))
    return [
        name for name in costs if any(one.verdict is Verdict.SLOWER for one in _judged(pair, name))
    ]


def coverage(power: Power) -> list[tuple[str, int, int, int]]:
    """Neutral and slowed pairs of each experiment with each set of seeds."""
    same, slowed = (
        Counter((pair.experiment, pair.seed) for pair in pairs)
        for pairs in (power.same, power.slowed)
    )
    return [
        (name, seed, same[name, seed], slowed[name, seed])
        for name in dict.fromkeys(pair.experiment for pair in power.same)
        for seed in range(1, SEED_SETS + 1)
    ]


def unjudged(power: Power) -> int:
    """Pairs in which a metric could not be judged."""
    pairs = (*power.same, *power.slowed)
    return sum(not all(_is_decided(one) for one in _all_judged(pair)) for pair in pairs)


def derive(changes: Iterable[float]) -> float:
    """The threshold that follows from neutral changes. One from or to zero, which is infinite,
    cannot be allowed for by any threshold."""
    most = max(filter(math.isfinite, changes), default=0.0)
    # Rounding first: 1.5 x 0.4 % is 0.6 %, whatever binary fractions make of it.
    return max(LEAST, math.ceil(round(MARGIN * most / STEP, 6)) * STEP)


def surely_seen(threshold: float, neutral: float) -> float:
    """What a change may be at most and go unseen behind a neutral one: rounded up to a tenth of a
    percent, so that any larger one is seen. Changes that come together multiply."""
    hidden = (1 + Fraction(str(threshold))) * (1 + Fraction(neutral)) - 1
    step = Fraction(str(STEP))
    return float(math.ceil(hidden / step) * step)


def by_kind(power: Power, metric: str) -> dict[str, float]:
    """The largest change of each kind of neutral change that can be told as a share."""
    found: dict[str, float] = {}
    for pair in power.same:
        for change in filter(math.isfinite, map(_change, _judged(pair, metric))):
            found[pair.change] = max(found.get(pair.change, 0.0), change)
    return found


def between_seeds(power: Power, metric: str) -> tuple[float | None, set[Verdict]]:
    """How far apart the medians of two sets of seeds lie at most, and the verdicts on them."""
    apart: float | None = None
    said = set()
    for pair in power.seeds:
        for before, after in _cells(pair, metric):
            old, new = _median(before), _median(after)
            if old and new is not None:
                apart = max(apart or 0.0, abs(new / old - 1.0))
        said |= {judgement.verdict for judgement in _judged(pair, metric)}
    return apart, said


def _median(cell: Cell | None) -> float | None:
    """None where there is none that can be compared."""
    if cell is None or not cell.valid:
        return None
    middle = statistics.median(cell.side.values)
    return middle if math.isfinite(middle) else None


def _of(metric: str, power: Power) -> Sensitivity:
    of_same, of_slowed = (
        [judgement for pair in pairs for judgement in _judged(pair, metric)]
        for pairs in (power.same, power.slowed)
    )
    same, slowed = (list(filter(_is_decided, judged)) for judged in (of_same, of_slowed))
    changes = [_change(judgement) for judgement in same]
    others = [changes[:place] + changes[place + 1 :] for place in range(len(changes))]
    known = [change for change in changes if math.isfinite(change)]
    slowdowns = [judgement.ratio.value - 1.0 for judgement in slowed if judgement.ratio]
    return Sensitivity(
        metric=metric,
        pairs=len(same),
        unjudged=len(of_same) - len(same) + len(of_slowed) - len(slowed),
        middle=statistics.median(known) if known else None,
        largest=max(known, default=None),
        derived=derive(known) if known else None,
        threshold=threshold_for(metric, verdicts.VIRTUAL).share,
        alarms=sum(map(_is_alarm, same)),
        unseen=sum(change > derive(rest) for change, rest in zip(changes, others, strict=True)),
        slowed=len(slowed),
        slowdown=statistics.median(slowdowns) if slowdowns else None,
        found=sum(judgement.verdict is Verdict.SLOWER for judgement in slowed),
    )


def _names(pair: Pair) -> dict[str, None]:
    """The metrics that either side has, in order."""
    return dict.fromkeys(cell.key.metric for cell in (*pair.before, *pair.after))


def _cells(pair: Pair, metric: str) -> Iterator[tuple[Cell | None, Cell | None]]:
    """The cells of both sides by their keys; None where a side does not have one."""
    before, after = (
        {cell.key: cell for cell in side if cell.key.metric == metric}
        for side in (pair.before, pair.after)
    )
    for key in {**before, **after}:
        yield before.get(key), after.get(key)


def _all_judged(pair: Pair) -> list[Judgement]:
    return [judgement for metric in _names(pair) for judgement in _judged(pair, metric)]


def _judged(pair: Pair, metric: str) -> list[Judgement]:
    return verdicts.judge([_as_asked(*cells) for cells in _cells(pair, metric)])


def _as_asked(before: Cell | None, after: Cell | None) -> verdicts.Pair:
    """Two cells of one key as verdicts want them."""
    known = before or after
    assert known is not None
    return verdicts.Pair(
        metric=known.key.metric,
        clock=known.key.clock,
        direction=known.direction,
        before=None if before is None else before.side,
        after=None if after is None else after.side,
    )


def _is_decided(judgement: Judgement) -> bool:
    """Whether there was something to compare. A change from or to zero has no ratio, but a
    verdict."""
    return judgement.ratio is not None or judgement.verdict in (Verdict.FASTER, Verdict.SLOWER)


def _is_alarm(judgement: Judgement) -> bool:
    return _is_decided(judgement) and judgement.verdict is not Verdict.SAME


def _change(judgement: Judgement) -> float:
    """As verdicts see it: a ratio of 0.8 is as far from 1 as one of 1.25."""
    if judgement.ratio is None:
        return math.inf
    ratio = judgement.ratio.value
    return max(ratio, 1.0 / ratio) - 1.0 if ratio > 0.0 else math.inf
