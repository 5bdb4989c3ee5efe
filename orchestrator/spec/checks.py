# SPDX-License-Identifier: Apache-2.0
"""Rules that join several keys of an experiment. Each check yields faults and raises nothing.

A check that needs sections which are themselves broken is left out, so that one wrong value does
not cause a second, misleading message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.spec import claims, points
from orchestrator.spec.axes import AxisValue, axis_values
from orchestrator.spec.faults import Fault, did_you_mean
from orchestrator.spec.fields import Load, Scalar
from orchestrator.spec.metrics import FAMILIES, LATENCY_METRICS, METRICS, SYNONYMS
from orchestrator.spec.model import NIC_MAX_QUEUES, Experiment, Role
from orchestrator.spec.reading import dotted
from orchestrator.spec.source import Loc, Source
from orchestrator.spec.topology import MAX_LINKS
from orchestrator.spec.validation import Place, validate
from orchestrator.spec.workload import Workload

type Check = Callable[["Draft"], Iterator[Fault]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An experiment whose sections are valid one by one, except for those in `broken`."""

    experiment: Experiment
    source: Source
    broken: frozenset[str] = frozenset()

    def fault(self, loc: Loc, message: str, hint: str = "", *, at_key: bool = False) -> Fault:
        mark = self.source.key_mark(loc) if at_key else self.source.value_mark(loc)
        return Fault(mark=mark, key=dotted(loc), message=message, hint=hint)

    def warning(self, loc: Loc, message: str, hint: str = "") -> Fault:
        mark = self.source.value_mark(loc)
        return Fault(mark=mark, key=dotted(loc), message=message, hint=hint, level="warning")


def run_checks(draft: Draft) -> list[Fault]:
    """All faults and warnings, each once, in the order of the checks."""
    found = [
        fault
        for needs, check in _CHECKS
        if not draft.broken.intersection(needs)
        for fault in check(draft)
    ]
    return list(dict.fromkeys(found))


def check_topology(draft: Draft) -> Iterator[Fault]:
    """Links join two known machines, with queues that their NICs have."""
    experiment = draft.experiment
    if len(experiment.links) > MAX_LINKS:
        yield draft.fault(("links",), f"there are more than {MAX_LINKS} links")
    for index, link in enumerate(experiment.links):
        known = [end.machine in experiment.machines for end in link.ends]
        for number, end in enumerate(link.ends):
            loc: Loc = ("links", index, "ends", number)
            if not known[number]:
                yield draft.fault(
                    (*loc, "machine"),
                    f"there is no machine {end.machine}",
                    did_you_mean(end.machine, tuple(experiment.machines), among="machines"),
                )
                continue
            yield from _check_queues(draft, loc, index, number)
            if end.nic == "virtio" and end.rx_usecs is not None:
                yield draft.fault((*loc, "rx_usecs"), "virtio has no interrupt moderation")
        if all(known) and link.ends[0].machine == link.ends[1].machine:
            yield draft.fault(("links", index, "ends"), f"both ends are at {link.ends[0].machine}")
    linked = {end.machine for link in experiment.links for end in link.ends}
    for name in experiment.machines:
        if name not in linked:
            yield draft.warning(("machines", name), "no link leads to this machine")
    if experiment.clock == "virtual" and "idle=poll" in experiment.guest.kernel_args.split():
        yield draft.fault(
            ("guest", "kernel_args"),
            "idle=poll cannot be measured on the virtual clock: CPUs that poll while idle take the "
            "time of those at work, and the guest never comes to rest",
            "leave idle=poll out, or set clock: wall",
        )


def _check_queues(draft: Draft, loc: Loc, link: int, number: int) -> Iterator[Fault]:
    end = draft.experiment.links[link].ends[number]
    if end.queues is None:
        return
    most = draft.experiment.max_queues(end)
    cpus = draft.experiment.machines[end.machine].cpus
    if end.queues > most:
        wider = " (igb has up to 8)" if end.nic == "igb-vf" else ""
        have = "1 queue" if most == 1 else f"{most} queues"
        if most < NIC_MAX_QUEUES[end.nic]:
            have += " on the virtual clock, where a hub in QEMU is its link"
        yield draft.fault((*loc, "queues"), f"{end.nic} has {have}, not {end.queues}{wider}")
    elif end.queues > cpus:
        yield draft.fault(
            (*loc, "queues"),
            f"{end.queues} queues on {end.machine}, which has {cpus} CPUs: "
            "Linux's drivers use at most one queue per CPU",
        )


def check_roles(draft: Draft) -> Iterator[Fault]:
    """One client and one server, joined by a link."""
    experiment = draft.experiment
    holders: dict[Role, list[str]] = {"client": [], "server": []}
    for name in experiment.machines:
        role = experiment.role(name)
        if role is not None:
            holders[role].append(name)
    purpose = {"client": "the load generator", "server": "the variants"}
    for role, names in holders.items():
        if not names:
            yield draft.fault(
                ("machines",),
                f"no machine has the role {role}, where {purpose[role]} would run",
                f"name a machine {role}, or give one role: {role}",
                at_key=True,
            )
        for name in names[1:]:
            yield draft.fault(
                ("machines", name),
                f"a second machine has the role {role}: {names[0]} has it already",
                at_key=True,
            )
    if not all(len(names) == 1 for names in holders.values()) or "links" in draft.broken:
        return
    pair = {names[0] for names in holders.values()}
    if not any({end.machine for end in link.ends} == pair for link in experiment.links):
        yield draft.fault(("links",), f"no link joins {' and '.join(sorted(pair))}", at_key=True)


def check_variant_workloads(draft: Draft) -> Iterator[Fault]:
    """What a variant changes of the workload fits the rest of it."""
    for name, variant in draft.experiment.variants.items():
        place = Place(source=draft.source, loc=("variants", name, "workload"), root=Workload)
        workload, faults = points.workload_at(draft.experiment, variant, {}, place)
        yield from faults
        if workload is not None and "machines" not in draft.broken:
            yield from _check_generator_cpus(draft, name, workload)


def _check_generator_cpus(draft: Draft, variant: str, workload: Workload) -> Iterator[Fault]:
    """More generator threads than CPUs make a client that is late by itself."""
    experiment = draft.experiment
    clients = [name for name in experiment.machines if experiment.role(name) == "client"]
    cpus = experiment.machines[clients[0]].cpus if clients else workload.threads
    if workload.threads > cpus:
        own = "threads" in experiment.variants[variant].workload
        loc: Loc = ("variants", variant, "workload") if own else ("workload",)
        yield draft.warning(
            (*loc, "threads"),
            f"{workload.threads} threads of the load generator on a client with {cpus} CPUs",
        )


def check_loads(draft: Draft) -> Iterator[Fault]:
    """An open loop needs a load, everything else must not have one."""
    experiment = draft.experiment
    swept = any(key.startswith("workload.") for key in experiment.matrix)
    for name, variant in experiment.variants.items():
        if variant.load is not None:
            yield from _check_load_values(draft, ("variants", name, "load"), variant.load)
        loc: Loc = ("variants", name)
        place = Place(source=draft.source, loc=loc, root=Workload)
        workload, faults = points.workload_at(experiment, variant, {}, place)
        # With a swept mode the plan decides point by point.
        if workload is None or faults or swept:
            continue
        axis = variant.load if variant.load is not None else experiment.matrix.get("load")
        if workload.paced and axis is None and not experiment.include:
            yield draft.fault(
                loc,
                "an open loop needs an offered load",
                "add for example matrix: {load: {from: 500, to: 8000, steps: 6, scale: log}}",
                at_key=True,
            )
        if not workload.paced and axis is not None:
            why = "a trace sets the pace" if workload.mode == "open" else "a closed loop has none"
            at: Loc = (*loc, "load") if variant.load is not None else ("matrix", "load")
            yield draft.fault(at, f"{name} takes no offered load: {why}", at_key=True)


def _check_load_values(draft: Draft, loc: Loc, axis: AxisValue) -> Iterator[Fault]:
    values = axis_values(axis)
    for index, value in enumerate(values):
        at = (*loc, index) if isinstance(axis, tuple) else loc
        place = Place(source=draft.source, loc=at, root=Workload)
        yield from validate(Load, value, place)[1]


def check_matrix(draft: Draft) -> Iterator[Fault]:
    """Every axis varies something that can be varied, with values that fit."""
    for key, axis in draft.experiment.matrix.items():
        problem = points.key_problem(key, draft.experiment)
        if problem is not None:
            yield draft.fault(("matrix", key), *problem, at_key=True)
            continue
        values = axis_values(axis)
        locs = points.axis_locs(key, axis, values)
        seen: set[Scalar] = set()
        for loc, value in zip(locs, values, strict=True):
            if value in seen:
                yield draft.fault(loc, f"{value} stands twice")
            seen.add(value)
            yield from _check_value(draft, key, value, loc)
        yield from _check_conflict(draft, key)


def _check_conflict(draft: Draft, key: str) -> Iterator[Fault]:
    """A key that is swept must not be set for a variant as well: one of them would be lost."""
    head, *rest = key.split(".")
    for name, variant in draft.experiment.variants.items():
        held: object = variant.options if head == "options" else variant.workload
        if head not in ("options", "workload"):
            return
        for part in rest:
            held = held.get(part) if isinstance(held, dict) else None
        if held is not None:
            yield draft.fault(
                ("variants", name, head, *rest), f"matrix varies {key}, so it cannot be set here"
            )
    loc: Loc = tuple(key.split("."))
    if draft.source.key_mark(loc).origin.startswith("--set"):
        yield draft.fault(
            loc, f"has no effect: matrix varies {key}", f"set matrix.{key} instead", at_key=True
        )


def check_points(draft: Draft) -> Iterator[Fault]:
    """include and exclude name keys and values that exist."""
    experiment = draft.experiment
    for section, entries in (("include", experiment.include), ("exclude", experiment.exclude)):
        for index, entry in enumerate(entries):
            if not entry:
                yield draft.fault((section, index), "names no key")
            for key, value in entry.items():
                loc: Loc = (section, index, key)
                problem = points.key_problem(key, experiment)
                if problem is not None:
                    yield draft.fault(loc, *problem, at_key=True)
                elif section == "include":
                    yield from _check_value(draft, key, value, loc)
                else:
                    yield from _check_excluded(draft, key, value, loc)


def _check_excluded(draft: Draft, key: str, value: Scalar, loc: Loc) -> Iterator[Fault]:
    experiment = draft.experiment
    if key == "variant":
        yield from _check_value(draft, key, value, loc)
        return
    axes = [experiment.matrix.get(key)]
    if key == "load":
        axes += [variant.load for variant in experiment.variants.values()]
    values = [text for axis in axes if axis is not None for text in axis_values(axis)]
    if not values:
        yield draft.fault(loc, "matrix does not vary this key", at_key=True)
    elif value not in values:
        shown = tuple(str(known) for known in values)
        yield draft.fault(loc, f"{value} is no value of this axis", did_you_mean(str(value), shown))


def _check_value(draft: Draft, key: str, value: Scalar, loc: Loc) -> Iterator[Fault]:
    experiment = draft.experiment
    place = Place(source=draft.source, loc=loc, root=Workload)
    head = key.partition(".")[0]
    if key == "variant":
        if value not in experiment.variants:
            hint = did_you_mean(str(value), tuple(experiment.variants), among="variants")
            yield draft.fault(loc, f"there is no variant {value}", hint)
    elif key == "load":
        yield from validate(Load, value, place)[1]
    elif head == "workload":
        for variant in experiment.variants.values():
            faults = points.workload_at(experiment, variant, {key: value}, place)[1]
            yield from (_moved(draft, fault, loc) for fault in faults)
            if faults:
                return
    elif key in ("warmup", "duration"):
        yield from points.phases_at(experiment, {key: value}, place)[1]
    elif points.is_topology_key(key):
        changed, faults = points.experiment_at(experiment, {key: value}, place)
        yield from (_moved(draft, fault, loc) for fault in faults)
        if changed is not None:
            inner = Draft(experiment=changed, source=draft.source, broken=draft.broken)
            before = set(check_topology(draft))
            yield from (
                _moved(draft, fault, loc)
                for fault in check_topology(inner)
                if fault not in before and fault.level == "error"
            )


def _moved(draft: Draft, fault: Fault, loc: Loc) -> Fault:
    """The same fault told at the value that causes it."""
    return draft.fault(loc, fault.message, fault.hint)


def check_metrics(draft: Draft) -> Iterator[Fault]:
    """Metrics and the objective are known."""
    experiment = draft.experiment
    names = experiment.metric_names()
    for index, name in enumerate(names):
        if experiment.metric_definition(name) is None:
            hint = metric_hint(name)
            yield draft.fault(("metrics", index), f"there is no metric {name}", hint)
        if name in names[:index]:
            yield draft.fault(("metrics", index), f"{name} stands twice")
    if "slo" not in draft.broken and experiment.slo is not None:
        metric = experiment.slo.metric
        if metric not in LATENCY_METRICS:
            hint = did_you_mean(metric, LATENCY_METRICS, among="choose one of")
            yield draft.fault(("slo", "metric"), f"{metric} is no latency metric", hint)


def metric_hint(name: str) -> str:
    """The metric that was probably meant."""
    return did_you_mean(SYNONYMS.get(name, name), (*METRICS, *FAMILIES))


def check_claims(draft: Draft) -> Iterator[Fault]:
    """Claims parse and speak of variants, metrics and points that exist."""
    for index, claim in enumerate(draft.experiment.claims):
        loc: Loc = ("claims", index, "expression")
        try:
            parsed = claims.parse_claim(claim.expression)
        except claims.ClaimError as error:
            pointer = f"at character {error.position + 1} of {claim.expression!r}"
            yield draft.fault(loc, str(error), pointer)
            continue
        for reference in claims.references(parsed):
            yield from _check_reference(draft, reference, loc)


def _check_reference(draft: Draft, reference: claims.Reference, loc: Loc) -> Iterator[Fault]:
    experiment = draft.experiment
    if reference.variant not in experiment.variants:
        hint = did_you_mean(reference.variant, tuple(experiment.variants), among="variants")
        yield draft.fault(loc, f"{reference}: there is no variant {reference.variant}", hint)
    definition = experiment.metric_definition(reference.metric)
    if definition is None:
        hint = metric_hint(reference.metric)
        yield draft.fault(loc, f"{reference}: there is no metric {reference.metric}", hint)
    elif definition.scope == "variant" and reference.metric == "max_load_under_slo":
        if experiment.slo is None and "slo" not in draft.broken:
            yield draft.fault(loc, f"{reference} needs an slo")
        if any(key == "load" for key, _ in reference.where):
            yield draft.fault(
                loc, f"{reference}: max_load_under_slo is of all loads, not of one", "drop load="
            )
    for key, value in reference.where:
        yield from _check_where(draft, reference, (key, value), loc)


def _check_where(
    draft: Draft, reference: claims.Reference, where: tuple[str, str], loc: Loc
) -> Iterator[Fault]:
    key, wanted = where
    experiment = draft.experiment
    if _is_narrowed(draft) and not draft.source.value_mark(loc).is_argument:
        return
    variant = experiment.variants.get(reference.variant)
    axis = experiment.matrix.get(key)
    if key == "load" and variant is not None and variant.load is not None:
        axis = variant.load
    if axis is None:
        hint = did_you_mean(key, tuple(experiment.matrix), among="axes")
        yield draft.fault(loc, f"{reference}: {key} is no axis of the matrix", hint)
        return
    known = tuple(str(value) for value in axis_values(axis))
    included = tuple(str(entry[key]) for entry in experiment.include if key in entry)
    if wanted not in (*known, *included):
        hint = f"values: {', '.join(known)}"
        yield draft.fault(loc, f"{reference}: {wanted} is no value of {key}", hint)


def _is_narrowed(draft: Draft) -> bool:
    """Whether --set chose the points. The file's claims know nothing of that: one that needs a
    point which is gone cannot be evaluated, but is not wrong."""
    return any(
        mark.is_argument
        for loc, mark in draft.source.values.items()
        if loc[:1] in (("matrix",), ("include",))
        or (loc[:1] == ("variants",) and (len(loc) == 1 or loc[-1] == "load"))
    )


_CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("machines", "links"), check_topology),
    (("machines",), check_roles),
    (("workload",), check_variant_workloads),
    (("workload", "variants", "matrix", "include"), check_loads),
    (("workload", "variants", "matrix", "machines", "links"), check_matrix),
    (("workload", "variants", "matrix", "machines", "links", "include", "exclude"), check_points),
    (("metrics",), check_metrics),
    (("variants", "metrics", "matrix", "include", "claims"), check_claims),
)
