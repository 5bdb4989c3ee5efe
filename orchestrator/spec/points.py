# SPDX-License-Identifier: Apache-2.0
"""What a point of the matrix means: which keys may be varied, and the experiment with them set."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from orchestrator.spec import structure
from orchestrator.spec.axes import AxisValue, Values
from orchestrator.spec.faults import Fault, did_you_mean
from orchestrator.spec.fields import Duration, Scalar, canonical
from orchestrator.spec.model import Experiment, Guest, Link, Machine, Variant
from orchestrator.spec.source import Loc
from orchestrator.spec.validation import Place, validate
from orchestrator.spec.workload import Workload

type Point = Mapping[str, Scalar]

_MACHINE_KEYS = ("cpus", "memory", "viommu")
_LINK_KEYS = ("delay", "loss", "rate")
_END_KEYS = ("nic", "queues", "rx_usecs")
_GUEST_KEYS = ("kernel_args", "fast_strings")
AXIS_FORMS: Mapping[str, str] = {
    "variant": "which variants take part",
    "load": "offered load in requests per second",
    "workload.KEY": "a key of the workload, dotted further where it is nested",
    "options.KEY": "an option of the applications that have one of that name",
    "machines.NAME.cpus|memory|viommu": "a machine; points with other machines get own guests",
    "links.N.delay|loss|rate": "a link, counted from 0",
    "links.N.ends.M.nic|queues|rx_usecs": "one end of a link, counted from 0",
    "guest.kernel_args|fast_strings": "how guests boot",
    "warmup|duration": "the phases of a trial",
}
_PHASES: Mapping[str, Any] = {
    "warmup": Annotated[Duration, Field(ge=0)],
    "duration": Annotated[Duration, Field(gt=0)],
}


def is_topology_key(key: str) -> bool:
    return key.partition(".")[0] in ("machines", "links", "guest")


def key_problem(key: str, experiment: Experiment) -> tuple[str, str] | None:
    """Message and hint when a key cannot be varied; None when it can."""
    parts = key.split(".")
    match parts:
        case ["variant"] | ["load"] | ["warmup"] | ["duration"]:
            return None
        case ["options", option] if option:
            return None
        case ["workload", *rest] if rest:
            return _workload_problem(rest)
        case ["machines", name, field]:
            if name not in experiment.machines:
                hint = did_you_mean(name, tuple(experiment.machines), among="machines")
                return f"there is no machine {name}", hint
            return _choice(field, _MACHINE_KEYS)
        case ["links", number, field] if number.isdecimal():
            return _link_problem(number, experiment) or _choice(field, _LINK_KEYS)
        case ["links", number, "ends", end, field] if number.isdecimal() and end in ("0", "1"):
            return _link_problem(number, experiment) or _choice(field, _END_KEYS)
        case ["guest", field]:
            return _choice(field, _GUEST_KEYS)
        case _:
            return "is no key that a matrix can vary", _form_hint(parts)


def _form_hint(parts: list[str]) -> str:
    homes = [home for home in structure.homes(parts[-1]) if home.startswith("workload.")]
    if len(parts) == 1 and homes:
        return f"did you mean {homes[0]}?"
    return did_you_mean(parts[0], tuple(AXIS_FORMS), among="keys")


def _workload_problem(rest: list[str]) -> tuple[str, str] | None:
    for depth, part in enumerate(rest):
        known = structure.known_keys(tuple(rest[:depth]), Workload)
        if part not in known:
            paths = [".".join(("workload", *rest[:depth], key)) for key in known]
            full = ".".join(("workload", *rest[: depth + 1]))
            return f"workload has no key {'.'.join(rest)}", did_you_mean(full, paths)
    if structure.known_keys(tuple(rest), Workload):
        inner = structure.known_keys(tuple(rest), Workload)
        return "holds several keys: vary one of them", f"keys here: {', '.join(inner)}"
    return None


def _link_problem(number: str, experiment: Experiment) -> tuple[str, str] | None:
    if int(number) < len(experiment.links):
        return None
    return f"there is no link {number}: they count from 0 to {len(experiment.links) - 1}", ""


def _choice(field: str, known: tuple[str, ...]) -> tuple[str, str] | None:
    if field in known:
        return None
    return f"{field} cannot be varied", did_you_mean(field, known, among="one can vary")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mappings merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            result[key] = merged(old, value)
        else:
            result[key] = value
    return result


def workload_at(
    experiment: Experiment, variant: Variant, point: Point, place: Place
) -> tuple[Workload | None, list[Fault]]:
    """The workload of a variant at a point; faults are told at `place`."""
    data = merged(canonical(experiment.workload), variant.workload)
    for key, value in point.items():
        head, _, rest = key.partition(".")
        if head == "workload":
            data = merged(data, _nested(rest.split("."), value))
    return validate(Workload, data, place)


def phases_at(
    experiment: Experiment, point: Point, place: Place
) -> tuple[tuple[int, int] | None, list[Fault]]:
    """Warm-up and measured phase of a trial at a point, ns; faults are told at `place`."""
    phases = {"warmup": experiment.warmup_ns, "duration": experiment.duration_ns}
    faults: list[Fault] = []
    for key in (key for key in phases if key in point):
        phases[key], wrong = validate(_PHASES[key], point[key], place)
        faults += wrong
    return (None if faults else (phases["warmup"], phases["duration"])), faults


def experiment_at(
    experiment: Experiment, point: Point, place: Place
) -> tuple[Experiment | None, list[Fault]]:
    """The experiment with the machines and links of a point; faults are told at `place`."""
    if not any(is_topology_key(key) for key in point):
        return experiment, []
    machines = {name: canonical(machine) for name, machine in experiment.machines.items()}
    links = [canonical(link) for link in experiment.links]
    guest = canonical(experiment.guest)
    for key, value in point.items():
        parts = key.split(".")
        if parts[0] == "machines":
            machines[parts[1]][parts[2]] = value
        elif parts[0] == "guest":
            guest[parts[1]] = value
        elif parts[0] == "links":
            target = links[int(parts[1])]
            if parts[2] == "ends":
                target = target["ends"][int(parts[3])]
            target[parts[-1]] = value
    new_machines, faults = validate(dict[str, Machine], machines, place)
    new_links, more = validate(tuple[Link, ...], links, place)
    new_guest, others = validate(Guest, guest, place)
    if faults or more or others:
        return None, [*faults, *more, *others]
    changes = {"machines": new_machines, "links": new_links, "guest": new_guest}
    return experiment.model_copy(update=changes), []


def _nested(parts: list[str], value: Scalar) -> dict[str, Any]:
    head, *rest = parts
    return {head: _nested(rest, value) if rest else value}


def axis_locs(key: str, axis: AxisValue, values: Values) -> tuple[Loc, ...]:
    """The place in the file of each value of an axis."""
    if isinstance(axis, tuple):
        return tuple(("matrix", key, index) for index in range(len(values)))
    return (("matrix", key),) * len(values)
