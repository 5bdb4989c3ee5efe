# SPDX-License-Identifier: Apache-2.0
"""WHEN: the trials of an experiment, in the order in which they are run.

Making a plan reads no file and no clock and starts nothing: the same arguments give the same plan.

Order. Trials that need the same machines form a block. In a block, each repetition visits the
points in an order of its own, drawn from the seed. At one point the variants run one after
another, and every second point in the opposite direction (A B C, C B A, …), so that a drift of the
host meets all variants alike. Accounting trials end the block: tracing cannot disturb the others.

Seeds. A trial's seed follows from the experiment's seed, the point and the repetition but not from
the variant: all variants meet the same arrivals at a point.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from orchestrator.errors import UsageError
from orchestrator.run import placement
from orchestrator.run.cases import OWN_GENERATOR, Case, Expansion, can_drive, expand
from orchestrator.run.resolution import unresolved
from orchestrator.spec.faults import did_you_mean
from orchestrator.spec.model import Clock, Experiment, Role
from orchestrator.spec.points import Point
from orchestrator.spec.registry import AppProtocol, Registry
from orchestrator.spec.topology import Demand, Topology
from orchestrator.spec.workload import Workload, effective, wire_protocol

type Kind = Literal["measure", "accounting", "crosscheck"]

FORMAT = 1
ID_DIGITS = 16
# Seeds stay exact in every JSON reader: doubles hold integers up to 2^53.
SEED_BITS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One measurement: what is asked, completely.

    id: the first digits of `hash`, the content hash of everything that can change the result;
    stable when the plan grows. index: place in the plan, from 0. repetition: from 1.
    protocol: as on the wire, such as "memcached-text". offered_rps: None when nothing is to be
    offered: a closed loop, or a trace that sets the pace. topology: id of one of the plan's.
    trace_sha256: of the file `workload.trace.file`; empty without one.
    """

    index: int
    id: str
    hash: str
    kind: Kind
    variant: str
    stack: str
    app: str
    options: Mapping[str, Any]
    generator: str
    generator_options: Mapping[str, Any]
    workload: Workload
    protocol: str
    offered_rps: float | None
    point: Point
    repetition: int
    seed: int
    warmup_ns: int
    duration_ns: int
    clock: Clock
    topology: str
    machines: Mapping[Role, str]
    trace_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; the workload in base units, without what the protocol does not use."""
        values = {name: getattr(self, name) for name in self.__slots__ if name not in ("workload",)}
        workload = effective(self.workload, _protocol_family(self.protocol))
        return {**values, "workload": workload}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All trials of a run in their order."""

    experiment: str
    title: str
    clock: Clock
    image: str
    seed: int
    repetitions: int
    inputs: Mapping[str, str]
    topologies: tuple[Topology, ...]
    trials: tuple[Trial, ...]
    warnings: tuple[str, ...]

    @property
    def demand(self) -> Demand:
        """What the host must have: the largest of the topologies, which are up one at a time."""
        demands = [placement.demand(topology, self.clock) for topology in self.topologies]
        return Demand(
            machines=max(demand.machines for demand in demands),
            cpus=max(demand.cpus for demand in demands),
            memory_bytes=max(demand.memory_bytes for demand in demands),
        )

    def topology(self, topology_id: str) -> Topology:
        return next(topology for topology in self.topologies if topology.id == topology_id)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `ringbed plan --json` and the run directory."""
        return {
            "format": FORMAT,
            "experiment": self.experiment,
            "title": self.title,
            "clock": self.clock,
            "image": self.image,
            "seed": self.seed,
            "repetitions": self.repetitions,
            "order": "abba",
            "inputs": dict(self.inputs),
            "demand": asdict(self.demand),
            "warnings": list(self.warnings),
            "topologies": [
                {"id": topology.id, **topology.to_json()} for topology in self.topologies
            ],
            "trials": [trial.to_json() for trial in self.trials],
        }


def make_plan(
    experiment: Experiment,
    registry: Registry,
    *,
    inputs: Mapping[str, str],
    only: Sequence[str] = (),
    repeat: int | None = None,
    seed: int | None = None,
) -> Plan:
    """Expand an experiment into the ordered trials of a run.

    inputs: hashes of what decides results beside the experiment: image, dataplane, tools, the
    orchestrator's relevant code; they enter every trial's hash.
    only: globs over variants, or `key=value` with `variant`, `kind`, `repetition`, `load` or a key
    of the matrix; filters of one key are alternatives, filters of different keys must all hold.
    Raises SpecError for what does not fit together, UsageError when no trial is left.
    """
    repetitions = experiment.repetitions if repeat is None else repeat
    if repetitions < 1:
        raise UsageError(f"{repetitions} repetitions measure nothing", hint="--repeat 1 or more")
    maker = _Maker(experiment, inputs, experiment.seed if seed is None else seed)
    expansion = expand(experiment, registry)
    filters = _Filters(only, experiment)
    measured = filters.keep(maker.measure_trials(expansion, repetitions))
    counted = filters.keep(maker.accounting_trials(expansion)) if experiment.accounting else []
    if not measured and not counted:
        raise filters.nothing_left(expansion)
    trials, topologies = maker.arrange(measured, counted)
    return Plan(
        experiment=experiment.name,
        title=experiment.title,
        clock=experiment.clock,
        image=experiment.image,
        seed=maker.seed,
        repetitions=repetitions,
        inputs=dict(inputs),
        topologies=topologies,
        trials=trials,
        warnings=(*expansion.warnings, *unresolved(_percentiles(experiment), trials)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A trial that has no place yet."""

    case: Case
    trial: Trial


class _Maker:
    def __init__(self, experiment: Experiment, inputs: Mapping[str, str], seed: int) -> None:
        self.seed = seed
        self._experiment = experiment
        self._inputs = inputs

    def measure_trials(self, expansion: Expansion, repetitions: int) -> Iterator[_Draft]:
        """Every case in every repetition, by rbload and by the second generator if there is one."""
        tool = expansion.crosscheck
        for case, repetition in itertools.product(expansion.cases, range(1, repetitions + 1)):
            yield self._draft(case, "measure", repetition, OWN_GENERATOR, {})
            if tool is not None and can_drive(tool, case):
                options = expansion.crosscheck_options
                yield self._draft(case, "crosscheck", repetition, tool.name, options)

    def accounting_trials(self, expansion: Expansion) -> Iterator[_Draft]:
        """One for each variant whose stack can count, at the middle of its points and loads."""
        counted = (case for case in expansion.cases if case.application.counted)
        by_variant = itertools.groupby(counted, key=lambda case: case.variant)
        for _, cases in by_variant:
            yield self._draft(_middle(list(cases)), "accounting", 1, OWN_GENERATOR, {})

    def arrange(
        self, measured: Sequence[_Draft], counted: Sequence[_Draft]
    ) -> tuple[tuple[Trial, ...], tuple[Topology, ...]]:
        """Put trials into their order, see the head of this file."""
        topologies = {
            draft.case.topology.id: draft.case.topology for draft in (*measured, *counted)
        }
        ordered: list[_Draft] = []
        for topology_id in topologies:
            mine = [draft for draft in measured if draft.trial.topology == topology_id]
            ordered += self._interleave(mine)
            ordered += [draft for draft in counted if draft.trial.topology == topology_id]
        trials = tuple(replace(draft.trial, index=index) for index, draft in enumerate(ordered))
        return trials, tuple(topologies.values())

    def _interleave(self, drafts: Sequence[_Draft]) -> Iterator[_Draft]:
        rounds = 0
        for repetition in sorted({draft.trial.repetition for draft in drafts}):
            slots: dict[str, list[_Draft]] = {}
            for draft in drafts:
                if draft.trial.repetition == repetition:
                    slots.setdefault(draft.case.slot, []).append(draft)
            for slot in sorted(slots, key=lambda slot: self._number("order", repetition, slot)):
                yield from slots[slot] if rounds % 2 == 0 else reversed(slots[slot])
                rounds += 1

    def _number(self, purpose: str, repetition: int, point: str) -> int:
        """A random number below 2^SEED_BITS that follows from the seed and the arguments."""
        text = json.dumps([purpose, self.seed, repetition, point])
        digest = hashlib.sha256(text.encode()).digest()
        return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)

    def _draft(
        self,
        case: Case,
        kind: Kind,
        repetition: int,
        generator: str,
        generator_options: Mapping[str, Any],
    ) -> _Draft:
        experiment = self._experiment
        trace = case.workload.trace
        trial = Trial(
            index=0,
            id="",
            hash="",
            kind=kind,
            variant=case.variant,
            stack=experiment.variants[case.variant].stack,
            app=case.application.name,
            options=case.options,
            generator=generator,
            generator_options=generator_options,
            workload=case.workload,
            protocol=wire_protocol(case.workload, case.application.protocol),
            offered_rps=case.offered_rps,
            point=case.point,
            repetition=repetition,
            seed=self._number("seed", repetition, json.dumps(case.point, sort_keys=True)),
            warmup_ns=case.warmup_ns,
            duration_ns=case.duration_ns,
            clock=experiment.clock,
            topology=case.topology.id,
            machines={role: case.topology.node(role).name for role in ("client", "server")},
            trace_sha256="" if trace is None else experiment.source.files[trace.file],
        )
        digest = self._hash(trial)
        return _Draft(case=case, trial=replace(trial, hash=digest, id=digest[:ID_DIGITS]))

    def _hash(self, trial: Trial) -> str:
        content = trial.to_json()
        for name in ("index", "id", "hash", "machines"):
            del content[name]
        # A trace is known by its content, wherever it lies.
        content["workload"].pop("trace", None)
        content |= {
            "format": FORMAT,
            "image": self._experiment.image,
            "inputs": dict(self._inputs),
            "trace_period_ns": trial.workload.trace.period_ns if trial.workload.trace else 0,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _middle(cases: Sequence[Case]) -> Case:
    """The case in the middle: of the points without their load first, then of the loads."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        rest = {key: value for key, value in case.point.items() if key != "load"}
        groups.setdefault(json.dumps(rest, sort_keys=True), []).append(case)
    chosen = list(groups.values())[(len(groups) - 1) // 2]
    chosen.sort(key=lambda case: case.offered_rps or 0)
    return chosen[(len(chosen) - 1) // 2]


def _percentiles(experiment: Experiment) -> list[str]:
    """The metrics that the experiment wants to see, that of its objective among them."""
    slo = experiment.slo
    return [*experiment.metric_names(), *([slo.metric] if slo is not None else [])]


def _protocol_family(protocol: str) -> AppProtocol:
    match protocol:
        case "echo" | "spin" | "udp-echo":
            return protocol
        case "memcached-text" | "memcached-binary":
            return "memcached"
        case other:
            raise ValueError(f"no protocol: {other}")


class _Filters:
    """--only: patterns by key."""

    def __init__(self, only: Sequence[str], experiment: Experiment) -> None:
        self._only = tuple(only)
        self._patterns: dict[str, list[str]] = {}
        keys = ["variant", "stack", "app", "kind", "repetition", "load"]
        keys += [key for key in experiment.matrix if key not in keys]
        keys += [key for entry in experiment.include for key in entry if key not in keys]
        for given in only:
            key, equals, value = given.partition("=")
            key, value = (key.strip(), value.strip()) if equals else ("variant", given.strip())
            if key not in keys:
                hint = did_you_mean(key, keys, among="keys")
                raise UsageError(f"--only {given}: there is no key {key}", hint=hint)
            self._patterns.setdefault(key, []).append(value)

    def keep(self, drafts: Iterable[_Draft]) -> list[_Draft]:
        return [draft for draft in drafts if self._holds(draft.trial)]

    def _holds(self, trial: Trial) -> bool:
        return all(
            any(_matches(key, _value(trial, key), pattern) for pattern in patterns)
            for key, patterns in self._patterns.items()
        )

    def nothing_left(self, expansion: Expansion) -> UsageError:
        variants = list(dict.fromkeys(case.variant for case in expansion.cases))
        values: dict[str, dict[str, None]] = {}
        for case in expansion.cases:
            for key, value in case.point.items():
                values.setdefault(key, {})[_text(value)] = None
        lines = [f"variants: {', '.join(variants) or 'none'}"]
        lines += [f"{key}: {', '.join(known)}" for key, known in values.items()]
        hint = ""
        for pattern in self._patterns.get("variant", ()):
            hint = hint or did_you_mean(pattern, variants)
        chosen = "--only " + " --only ".join(self._only) if self._only else "exclude"
        return UsageError(f"{chosen} leaves no trial", details="\n".join(lines), hint=hint)


def _value(trial: Trial, key: str) -> object:
    if key == "load":
        return trial.offered_rps
    if key in ("variant", "stack", "app", "kind", "repetition"):
        return getattr(trial, key)
    return trial.point.get(key)


def _matches(key: str, value: object, pattern: str) -> bool:
    if value is None:
        return False
    if key == "load" or isinstance(value, int | float):
        try:
            return float(pattern) == value
        except ValueError:
            pass
    return fnmatchcase(_text(value), pattern)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
