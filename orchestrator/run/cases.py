# SPDX-License-Identifier: Apache-2.0
"""The matrix of an experiment as cases: one variant at one point, with everything resolved."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.run import placement
from orchestrator.spec import points
from orchestrator.spec.axes import Values, axis_values
from orchestrator.spec.checks import Draft, check_topology
from orchestrator.spec.faults import Fault, did_you_mean, raise_faults
from orchestrator.spec.fields import Scalar
from orchestrator.spec.model import Clock, Experiment, Role, Variant
from orchestrator.spec.points import Point
from orchestrator.spec.reading import dotted
from orchestrator.spec.registry import Application, Generator, Registry, pollers
from orchestrator.spec.source import Loc
from orchestrator.spec.structure import keys_of
from orchestrator.spec.topology import Topology, make_topology
from orchestrator.spec.units import parse_load_rps
from orchestrator.spec.validation import Place, validate
from orchestrator.spec.workload import Workload, concerns

OWN_GENERATOR = "rbload"
# What an Ethernet frame of 1500 bytes holds behind the headers of IPv4 and UDP.
DATAGRAM_MAX_BYTES = 1472
# As dataplane/frames/frames.h has them: a flow is a port, and a message begins with a number.
FRAMES_MAX = 16384
FRAMES_MESSAGE_MIN_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A variant at a point of the matrix.

    point: the axes that concern the variant, without `variant`; `load` is a float.
    slot: what cases of several variants share that belong together in time: the point, with the
    rank of the load in place of the load itself, because each variant may have loads of its own.
    """

    variant: str
    application: Application
    options: Mapping[str, Any]
    workload: Workload
    offered_rps: float | None
    warmup_ns: int
    duration_ns: int
    topology: Topology
    point: Point
    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """All cases in the order of the file, and the second generator if the experiment has one."""

    cases: tuple[Case, ...]
    crosscheck: Generator | None
    crosscheck_options: Mapping[str, Any]
    warnings: tuple[str, ...]


def expand(experiment: Experiment, registry: Registry) -> Expansion:
    """Resolve every point of every variant. Raises SpecError with everything that does not fit."""
    expander = _Expander(experiment, registry)
    cases = [
        case
        for name, variant in experiment.variants.items()
        for case in expander.cases_of(name, variant)
    ]
    expander.check_axes()
    crosscheck, options = expander.crosscheck(cases)
    raise_faults(expander.faults, experiment.source.name or experiment.name)
    return Expansion(
        cases=tuple(cases),
        crosscheck=crosscheck,
        crosscheck_options=options,
        warnings=tuple(expander.warnings),
    )


class _Expander:
    """Gathers faults over all variants, so that they are reported together."""

    def __init__(self, experiment: Experiment, registry: Registry) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self._experiment = experiment
        self._registry = registry
        self._used: set[str] = set()
        self._topologies: dict[str, Topology | None] = {}
        self._ranks: dict[str, dict[float, int]] = {}
        self._workloads: dict[str, tuple[Workload | None, list[Fault]]] = {}

    def cases_of(self, name: str, variant: Variant) -> Iterator[Case]:
        application = self._application(name, variant)
        if application is None:
            return
        seen: set[str] = set()
        for point, loc in self._points(name, variant, application):
            case = self._case(name, variant, application, point, loc)
            if case is None:
                continue
            key = json.dumps(case.point, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield case

    def check_axes(self) -> None:
        """An axis that no variant heeds is a mistake, not a wish."""
        if self.faults:
            return
        for key in self._experiment.matrix:
            if key not in self._used:
                self._fault(("matrix", key), "concerns none of the variants", at_key=True)

    def crosscheck(self, cases: Sequence[Case]) -> tuple[Generator | None, Mapping[str, Any]]:
        wanted = self._experiment.crosscheck
        if wanted is None:
            return None, {}
        generator = self._registry.generators.get(wanted.generator)
        if generator is None:
            known = tuple(self._registry.generators)
            hint = did_you_mean(wanted.generator, known, among="generators")
            self._fault(
                ("crosscheck", "generator"), f"there is no generator {wanted.generator}", hint
            )
            return None, {}
        if wanted.generator == OWN_GENERATOR:
            message = f"{OWN_GENERATOR} measures every point already; name another generator"
            self._fault(("crosscheck", "generator"), message)
        elif cases and not any(can_drive(generator, case) for case in cases):
            message = f"{wanted.generator} can drive none of the variants"
            hint = f"it speaks {_listed(generator.protocols)}, in {_listed(generator.modes)} loop"
            self._fault(("crosscheck", "generator"), message, hint)
        place = Place(
            source=self._experiment.source, loc=("crosscheck", "options"), root=generator.options
        )
        options, faults = validate(generator.options, dict(wanted.options), place)
        self.faults += faults
        return generator, {} if options is None else options.model_dump(mode="json", by_alias=True)

    def _application(self, name: str, variant: Variant) -> Application | None:
        stacks = self._registry.stacks
        loc: Loc = ("variants", name)
        if variant.stack not in stacks:
            hint = did_you_mean(variant.stack, tuple(stacks), among="stacks")
            self._fault((*loc, "stack"), f"there is no stack {variant.stack}", hint)
            return None
        applications = stacks[variant.stack]
        if variant.app not in applications:
            hint = did_you_mean(variant.app, tuple(applications), among="applications")
            message = f"the stack {variant.stack} has no application {variant.app}"
            self._fault((*loc, "app"), message, hint)
            return None
        return applications[variant.app]

    def _points(
        self, name: str, variant: Variant, application: Application
    ) -> Iterator[tuple[Point, Loc]]:
        """Each point with the place in the file that it comes from."""
        axes = dict(self._axes(name, variant, application))
        if self._selected(name):
            for values in itertools.product(*axes.values()):
                point = dict(zip(axes, values, strict=True))
                if not self._excluded(name, point):
                    yield point, ("variants", name)
        for index, entry in enumerate(self._experiment.include):
            if entry.get("variant", name) == name:
                heeded = {
                    key: value
                    for key, value in entry.items()
                    if key != "variant" and _concerns(key, application)
                }
                yield heeded, ("include", index)

    def _axes(
        self, name: str, variant: Variant, application: Application
    ) -> Iterator[tuple[str, Values]]:
        for key, axis in self._experiment.matrix.items():
            if key == "variant":
                self._used.add(key)
            elif key == "load" and variant.load is not None:
                self._used.add(key)
                yield key, axis_values(variant.load)
            elif _concerns(key, application):
                self._used.add(key)
                yield key, axis_values(axis)
            else:
                self.warnings.append(f"matrix.{key} does not concern {name}")
        if variant.load is not None and "load" not in self._experiment.matrix:
            yield "load", axis_values(variant.load)

    def _selected(self, name: str) -> bool:
        axis = self._experiment.matrix.get("variant")
        return axis is None or name in axis_values(axis)

    def _excluded(self, name: str, point: Point) -> bool:
        whole = {"variant": name, **point}
        return any(
            all(key in whole and _same(key, whole[key], value) for key, value in entry.items())
            for entry in self._experiment.exclude
        )

    def _case(
        self, name: str, variant: Variant, application: Application, point: Point, loc: Loc
    ) -> Case | None:
        workload, faults = self._workload(name, variant, point, loc)
        options = self._options(name, variant, application, point)
        topology = self._topology(point, loc)
        place = Place(source=self._experiment.source, loc=loc)
        phases, wrong = points.phases_at(self._experiment, point, place)
        self.faults += (*faults, *wrong)
        if workload is None or options is None or topology is None or phases is None:
            return None
        self._check_datagrams(application, workload, loc)
        self._check_users(workload, loc)
        self._check_nic(name, variant, application, topology, loc)
        self._check_generator(application, workload, topology, loc)
        if application.polls:
            threads = int(options.get("threads", 0))
            at = self._option_place(name, "threads", point, loc)
            self._check_pollers(topology, threads, at)
            self._check_spread(name, application, threads, workload, topology)
        point = dict(point)
        offered = self._offered(workload, point, loc)
        rank = self._rank(name, variant, offered)
        slot = json.dumps({**point, "load": rank} if rank is not None else point, sort_keys=True)
        return Case(
            variant=name,
            application=application,
            options=options,
            workload=workload,
            offered_rps=offered,
            warmup_ns=phases[0],
            duration_ns=phases[1],
            topology=topology,
            point=point,
            slot=slot,
        )

    def _check_datagrams(self, application: Application, workload: Workload, loc: Loc) -> None:
        if application.protocol != "udp-echo":
            return
        if workload.depth > 1:
            what = f"{application.name} has one request under way on a socket, not {workload.depth}"
            self._fault(loc, what, "workload.depth: 1, and more connections", at_key=True)
        if workload.message_bytes > DATAGRAM_MAX_BYTES:
            what = f"a message of {workload.message_bytes} bytes does not fit into a datagram"
            hint = f"at most {DATAGRAM_MAX_BYTES}B fit into a frame"
            self._fault(loc, what, hint, at_key=True)

    def _check_users(self, workload: Workload, loc: Loc) -> None:
        """Of a point as a whole: an entry of include may give users and their connections."""
        most = workload.connections * workload.depth
        if workload.users and not workload.threads <= workload.users <= most:
            what = (
                f"{workload.users} users do not fit {workload.threads} threads and "
                f"{workload.connections} connections of depth {workload.depth}"
            )
            self._fault(loc, what, f"{workload.threads} to {most} do", at_key=True)

    def _check_nic(
        self,
        name: str,
        variant: Variant,
        application: Application,
        topology: Topology,
        loc: Loc,
    ) -> None:
        """A stack that takes the NIC away from Linux leaves nothing that could make a link worse
        than it is, and must be able to drive it."""
        if not application.takes_nic:
            self._check_linux_queues(name, topology)
            return
        unfit = _unfit(topology, "server", self._experiment.clock)
        if unfit:
            self._fault(
                (*loc, "stack"), f"the stack {variant.stack} cannot have {unfit[0]}", unfit[1]
            )
        cable = topology.cables[topology.service_port("server").link]
        if cable.delay_ns or cable.loss or cable.rate_bps:
            what = (
                f"the stack {variant.stack} takes the server's NIC from Linux, whose netem makes "
                "delay, loss and rate"
            )
            self._fault((*loc, "stack"), what, "leave them out of its link")

    def _check_linux_queues(self, name: str, topology: Topology) -> None:
        port = topology.service_port("server")
        used = placement.linux_queues(port)
        warning = f"{name}: Linux's driver uses {used} of the {port.queues} queues of an {port.nic}"
        if used < port.queues and warning not in self.warnings:
            self.warnings.append(warning)

    def _check_generator(
        self, application: Application, workload: Workload, topology: Topology, loc: Loc
    ) -> None:
        """A generator on the dataplane has the client's NIC to itself, and one address."""
        stack = workload.stack
        if stack == "linux":
            return
        most = min(topology.node("client").cpus, topology.service_port("client").queues)
        cable = topology.cables[topology.service_port("client").link]
        unfit = _unfit(topology, "client", self._experiment.clock)
        if unfit:
            what = f"a generator on the stack {stack} cannot have {unfit[0]}"
            self._fault(loc, what, unfit[1], at_key=True)
        limits = (
            *(_frames_limits(application, workload) if stack == "l2" else ()),
            (
                stack == "ix" and application.protocol == "udp-echo",
                "datagrams",
                "stack: linux, or l2 in a closed loop",
            ),
            (
                workload.threads > most,
                f"{workload.threads} threads on a client with {most} vCPUs and queues",
                f"threads: {most}, or more cpus for the client",
            ),
            (workload.addresses > 1, f"{workload.addresses} addresses", "addresses: 1"),
            (workload.poll, "poll: it always does", "poll: false"),
            (
                bool(cable.delay_ns or cable.loss or cable.rate_bps),
                "delay, loss or rate of its link, which Linux's netem makes",
                "leave them out",
            ),
        )
        for refused, what, hint in limits:
            if refused:
                what = f"a generator on the stack {stack} has no {what}"
                self._fault(loc, what, hint, at_key=True)

    def _check_pollers(self, topology: Topology, threads: int, loc: Loc) -> None:
        """Threads that poll share neither a CPU nor a queue."""
        cpus, queues = topology.node("server").cpus, topology.service_port("server").queues
        if threads > cpus:
            what = (
                f"{threads} threads that poll need a vCPU each, and the server has {cpus}: those "
                "on one vCPU would take its time from each other, working or not"
            )
            self._fault(loc, what, f"at most {cpus}, or more cpus for the server")
        elif threads > queues:
            what = f"{threads} threads that poll need a queue each, and the server's link has "
            self._fault(loc, f"{what}{queues}", f"at most {queues}, or more queues of its link")

    def _check_spread(
        self,
        name: str,
        application: Application,
        threads: int,
        workload: Workload,
        topology: Topology,
    ) -> None:
        """Connections are spread by ports, datagrams are not."""
        cpus, queues = topology.node("server").cpus, topology.service_port("server").queues
        count = pollers(threads, queues, cpus)
        if application.protocol != "udp-echo" or threads > cpus or workload.addresses >= count:
            return
        warning = (
            f"{name}: datagrams are spread over its {count} threads by addresses, not by ports, "
            f"and the client has {workload.addresses}: threads will go without work; "
            f"workload.addresses: {count} or more"
        )
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _option_place(self, name: str, option: str, point: Point, loc: Loc) -> Loc:
        """Where the file says what an option is at a point."""
        key = f"options.{option}"
        if key not in point:
            return ("variants", name, "options", option)
        return (*loc, key) if loc[0] == "include" else ("matrix", key)

    def _workload(
        self, name: str, variant: Variant, point: Point, loc: Loc
    ) -> tuple[Workload | None, list[Fault]]:
        """Made once for all loads, of which there may be many."""
        changes = {key: value for key, value in point.items() if key.startswith("workload.")}
        key = json.dumps([name, changes], sort_keys=True)
        if key not in self._workloads:
            place = Place(source=self._experiment.source, loc=loc, root=Workload)
            self._workloads[key] = points.workload_at(self._experiment, variant, changes, place)
        return self._workloads[key]

    def _offered(self, workload: Workload, point: dict[str, Scalar], loc: Loc) -> float | None:
        load = point.pop("load", None)
        if not workload.paced:
            return None
        if load is None:
            self._fault(loc, "an open loop needs an offered load here: add load", at_key=True)
            return None
        offered = parse_load_rps(load)
        point["load"] = offered
        return offered

    def _rank(self, name: str, variant: Variant, offered: float | None) -> int | str | None:
        if offered is None:
            return None
        if name not in self._ranks:
            axis = variant.load if variant.load is not None else self._experiment.matrix.get("load")
            values = () if axis is None else axis_values(axis)
            self._ranks[name] = {parse_load_rps(load): rank for rank, load in enumerate(values)}
        return self._ranks[name].get(offered, f"{offered:g}")

    def _options(
        self, name: str, variant: Variant, application: Application, point: Point
    ) -> Mapping[str, Any] | None:
        varied = {key.partition(".")[2]: value for key, value in point.items() if _is_option(key)}
        loc: Loc = ("variants", name, "options")
        place = Place(source=self._experiment.source, loc=loc, root=application.options)
        options, faults = validate(application.options, {**variant.options, **varied}, place)
        for fault in faults:
            axis = ("matrix", "options." + fault.key.removeprefix(dotted(loc) + "."))
            if axis[1] in point:
                self._fault(axis, fault.message, fault.hint)
            else:
                self.faults.append(fault)
        if options is None:
            return None
        dumped: dict[str, Any] = options.model_dump(mode="json", by_alias=True)
        return dumped

    def _topology(self, point: Point, loc: Loc) -> Topology | None:
        changes = {key: value for key, value in point.items() if points.is_topology_key(key)}
        key = json.dumps(changes, sort_keys=True)
        if key not in self._topologies:
            place = Place(source=self._experiment.source, loc=loc)
            changed, faults = points.experiment_at(self._experiment, changes, place)
            self.faults += faults
            if changed is not None and changes:
                draft = Draft(experiment=changed, source=self._experiment.source)
                wrong = [fault for fault in check_topology(draft) if fault.level == "error"]
                self.faults += wrong
                changed = None if wrong else changed
            self._topologies[key] = None if changed is None else make_topology(changed)
        return self._topologies[key]

    def _fault(self, loc: Loc, message: str, hint: str = "", *, at_key: bool = False) -> None:
        source = self._experiment.source
        mark = source.key_mark(loc) if at_key else source.value_mark(loc)
        self.faults.append(Fault(mark=mark, key=dotted(loc), message=message, hint=hint))


def _unfit(topology: Topology, role: Role, clock: Clock) -> tuple[str, str] | None:
    """Why a program cannot drive the NIC of a role's machine itself, and what to do."""
    port, node = topology.service_port(role), topology.node(role)
    if port.nic != "igb-vf" or placement.has_iommu(topology, node, clock):
        return None
    what = (
        f"the virtual function of {node.name}: without an IOMMU only uio could give it to a "
        "program, and uio needs an interrupt line, which functions have not"
    )
    return what, f"machines.{node.name}.viommu: true"


def _frames_limits(application: Application, workload: Workload) -> Iterator[tuple[bool, str, str]]:
    """What bare frames in a closed loop are not: each as refused or not, what, and a hint."""
    returns = application.protocol == "udp-echo" and application.takes_nic
    yield not returns, f"protocol that {application.name} here speaks", "an app of stack l2"
    yield workload.mode != "closed", "schedule", "mode: closed"
    yield workload.think_time_ns > 0, "think time", "think_time: 0"
    yield workload.users > 0, "users", "users: 0"
    yield workload.threads > 1, f"{workload.threads} threads", "threads: 1"
    count, least = workload.connections, FRAMES_MESSAGE_MIN_BYTES
    yield count > FRAMES_MAX, f"{count} datagrams under way", f"connections: at most {FRAMES_MAX}"
    size = workload.message_bytes
    yield size < least, f"message of {size} bytes", f"message: {least}B or more"


def can_drive(generator: Generator, case: Case) -> bool:
    """Whether a generator speaks the application's protocol in the workload's mode."""
    speaks = case.application.protocol in generator.protocols
    return speaks and case.workload.mode in generator.modes


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _is_option(key: str) -> bool:
    return key.startswith("options.")


def _concerns(key: str, application: Application) -> bool:
    """Whether a key of the matrix can change what an application does."""
    head, _, rest = key.partition(".")
    if head == "options":
        return rest in keys_of(application.options)
    if head == "workload":
        alias = rest.partition(".")[0]
        field = next(
            name for name, info in Workload.model_fields.items() if (info.alias or name) == alias
        )
        return concerns(field, application.protocol)
    return True


def _same(key: str, one: Scalar, other: Scalar) -> bool:
    if key == "load":
        return parse_load_rps(one) == parse_load_rps(other)
    return one == other
