# SPDX-License-Identifier: Apache-2.0
"""A nightly result: the cells of a suite at one commit, each with its judgement."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis import cells, fields
from orchestrator.analysis.baseline import Baseline
from orchestrator.analysis.cells import Cell, Key
from orchestrator.analysis.fields import Fields
from orchestrator.analysis.statistics import Estimate
from orchestrator.analysis.verdicts import VIRTUAL, Judgement, Method, Pair, Verdict, judge
from orchestrator.errors import InfrastructureError
from orchestrator.host import durable

FORMAT = 1
FILE = "nightly.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One experiment of the suite: the run that measured it, and why it could not be measured in
    full; both may be empty. file, overrides: how to run it again."""

    name: str
    file: str
    overrides: tuple[str, ...]
    run: str
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A cell of the baseline, of this measurement, or of both, and what came of it."""

    key: Key
    unit: str
    direction: str
    before: Cell | None
    after: Cell | None
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was measured, where and when. started: UTC. subject: of the commit."""

    name: str
    suite: str
    title: str
    commit: str
    subject: str
    dirty: bool
    started: str
    seconds: float
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nightly:
    """baseline: commits and time of the accepted state; both empty when there is none."""

    about: About
    baseline_commits: tuple[str, ...]
    baseline_accepted: str
    parts: tuple[Part, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        return Counter(one.judgement.verdict for one in self.outcomes)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What was measured this time."""
        return tuple(one.after for one in self.outcomes if one.after is not None)

    @property
    def verdict(self) -> Verdict:
        """Of the whole: the worst that calls for somebody."""
        if self.counts.get(Verdict.SLOWER):
            return Verdict.SLOWER
        if any(part.failure for part in self.parts) or any(map(is_lost, self.outcomes)):
            return Verdict.NOT_MEASURED
        if not any(one.before is not None and one.after is not None for one in self.outcomes):
            return Verdict.NOT_MEASURED
        if self.counts.get(Verdict.INCONCLUSIVE):
            return Verdict.INCONCLUSIVE
        return Verdict.FASTER if self.counts.get(Verdict.FASTER) else Verdict.SAME


def is_lost(outcome: Outcome) -> bool:
    """Whether the baseline has a cell that cannot be compared now. A cell that the baseline has
    never seen is new, which is no failure."""
    lost = (Verdict.INVALID, Verdict.NOT_MEASURED)
    return outcome.before is not None and outcome.judgement.verdict in lost


def is_new(outcome: Outcome) -> bool:
    return outcome.before is None


def host_of(manifest: Mapping[str, Any]) -> str:
    """The host of a run as far as wall-clock figures depend on it."""
    host = manifest.get("host")
    cpu = host.get("cpu") if isinstance(host, dict) else None
    accelerator = manifest.get("accelerator")
    kind = accelerator.get("kind") if isinstance(accelerator, dict) else None
    if not isinstance(cpu, dict):
        return "unknown host"
    return (
        f"{cpu.get('model', 'unknown CPU')}, {cpu.get('cores', '?')} cores, {kind or 'no'} guests"
    )


def judge_all(
    about: About, parts: Sequence[Part], measured: Sequence[Cell], baseline: Baseline | None
) -> Nightly:
    """Compare all cells of a measurement and its baseline, as one family of tests."""
    stored = {cell.key: cell for cell in (baseline.cells if baseline else ())}
    found = {cell.key: cell for cell in measured}
    keys = list(dict.fromkeys([*found, *stored]))
    failures = {part.name: part.failure for part in parts}
    pairs = [_pair(stored.get(key), found.get(key), about.host, baseline, failures) for key in keys]
    outcomes = []
    for key, judgement in zip(keys, judge(pairs), strict=True):
        known = found.get(key) or stored[key]
        outcomes.append(
            Outcome(
                key=key,
                unit=known.unit,
                direction=known.direction,
                before=stored.get(key),
                after=found.get(key),
                judgement=judgement,
            )
        )
    return Nightly(
        about=about,
        baseline_commits=baseline.commits if baseline else (),
        baseline_accepted=baseline.accepted if baseline else "",
        parts=tuple(parts),
        outcomes=tuple(outcomes),
    )


def _pair(
    before: Cell | None,
    after: Cell | None,
    host: str,
    baseline: Baseline | None,
    failures: Mapping[str, str],
) -> Pair:
    known = after or before
    assert known is not None
    key = known.key
    missing = ""
    if before is None:
        missing = "new: the baseline does not have this cell" if baseline else "no baseline yet"
    elif after is None:
        missing = failures.get(key.experiment, "") or "the suite does not measure this cell now"
    elif key.clock != VIRTUAL and baseline is not None and baseline.host != host:
        missing = f"the baseline is of another host: {baseline.host}, now {host}"
        before = None
    return Pair(
        metric=key.metric,
        clock=key.clock,
        direction=known.direction,
        before=before.side if before else None,
        after=after.side if after else None,
        noise=(*(before.noise if before else ()), *(after.noise if after else ())),
        missing=missing,
        names=("the baseline", "this measurement"),
    )


# -- as a file


def write(directory: Path, nightly: Nightly) -> Path:
    path = directory / FILE
    outcomes = [
        {
            "before": None if one.before is None else cells.to_json(one.before),
            "after": None if one.after is None else cells.to_json(one.after),
            "judgement": _judgement_json(one.judgement),
        }
        for one in nightly.outcomes
    ]
    data = {
        "format": FORMAT,
        "about": asdict(nightly.about),
        "baseline": {
            "commits": nightly.baseline_commits,
            "accepted": nightly.baseline_accepted,
        },
        "parts": [asdict(part) for part in nightly.parts],
        "outcomes": outcomes,
    }
    durable.write_json(path, data)
    return path


def _judgement_json(judgement: Judgement) -> dict[str, Any]:
    """NaN is no JSON: an interval that does not exist is null."""
    data = asdict(judgement)
    if judgement.ratio is not None and math.isnan(judgement.ratio.low):
        data["ratio"] |= {"low": None, "high": None}
    return data


def read(directory: Path) -> Nightly:
    """Raises InfrastructureError for what is damaged, or written by a later ringbed."""
    path = directory / FILE
    data = fields.load(path)
    if (found := data.integer("format")) != FORMAT:
        raise InfrastructureError(f"{path} has format {found}; this ringbed reads {FORMAT}")
    about, baseline = data.child("about"), data.child("baseline")
    return Nightly(
        about=About(
            **{
                name: about.text(name)
                for name in ("name", "suite", "title", "commit", "subject", "started", "host")
            },
            dirty=about.boolean("dirty"),
            seconds=about.number("seconds"),
        ),
        baseline_commits=tuple(map(str, baseline.get("commits"))),
        baseline_accepted=baseline.text("accepted"),
        parts=tuple(_part(one) for one in data.children("parts")),
        outcomes=tuple(_outcome(one) for one in data.children("outcomes")),
    )


def _part(data: Fields) -> Part:
    return Part(
        name=data.text("name"),
        file=data.text("file"),
        overrides=tuple(map(str, data.get("overrides"))),
        run=data.text("run"),
        failure=data.text("failure"),
    )


def _outcome(data: Fields) -> Outcome:
    before, after = (
        cells.from_json(data.child(name)) if data.has(name) else None
        for name in ("before", "after")
    )
    known = after or before
    if known is None:
        raise data.error("", "has neither before nor after")
    return Outcome(
        key=known.key,
        unit=known.unit,
        direction=known.direction,
        before=before,
        after=after,
        judgement=_judgement(data.child("judgement")),
    )


def _judgement(data: Fields) -> Judgement:
    ratio = None
    if data.has("ratio"):
        inner = data.child("ratio")
        low, high = (
            _signed(inner, name) if inner.has(name) else math.nan for name in ("low", "high")
        )
        ratio = Estimate(value=_signed(inner, "value"), low=low, high=high, n=inner.integer("n"))
    try:
        verdict, test = Verdict(data.text("verdict")), Method(data.text("test"))
    except ValueError as error:
        raise data.error("verdict", str(error)) from None
    return Judgement(
        verdict=verdict,
        why=data.text("why"),
        test=test,
        ratio=ratio,
        threshold=data.number("threshold"),
        practical=data.number("practical"),
        practical_why=data.text("practical_why"),
        noise=data.number("noise") if data.has("noise") else None,
        p=data.number("p") if data.has("p") else None,
        adjusted=data.number("adjusted") if data.has("adjusted") else None,
    )


def _signed(data: Fields, name: str) -> float:
    """A ratio can fall below zero: a shift larger than the median it started from."""
    value = data.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise data.error(name, f"is {value!r}, no number")
    return float(value)
