# SPDX-License-Identifier: Apache-2.0
"""From a trial to its steps: the stack's driver and the generator's driver put together."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from orchestrator.errors import StepError
from orchestrator.run import placement
from orchestrator.run.plan import Trial
from orchestrator.spec.model import Role
from orchestrator.spec.registry import Application
from orchestrator.spec.registry import Generator as Offer
from orchestrator.spec.topology import Topology
from orchestrator.stacks import DRIVERS, accounting
from orchestrator.stacks.base import Endpoint, Options, Served, Site
from orchestrator.steps.model import Run, Script, Step
from orchestrator.workloads import GENERATORS, Load


class Drivers:
    """All drivers, as a plan wants to know them (`spec.registry.Registry`)."""

    @property
    def stacks(self) -> Mapping[str, Mapping[str, Application]]:
        return {name: driver.apps for name, driver in DRIVERS.items()}

    @property
    def generators(self) -> Mapping[str, Offer]:
        return {name: driver.offer for name, driver in GENERATORS.items()}


def script(trial: Trial, topology: Topology, trace: str = "") -> Script:
    """All steps of a trial. trace: the text of its trace file, if it has one."""
    site = _site(trial, topology)
    served = _serve(trial, site)
    load = Load(
        workload=trial.workload,
        protocol=trial.protocol,
        offered_rps=trial.offered_rps,
        seed=trial.seed,
        warmup_ns=trial.warmup_ns,
        duration_ns=trial.duration_ns,
        trace=trace,
    )
    generator = GENERATORS[trial.generator]
    options = trial.generator_options
    setup = (*served.up, *_client_addresses(trial, topology, site.client))
    if trial.kind == "accounting":
        setup += generator.populate(load, served, site.client)
        load = replace(load, populated=True)
        drive = generator.drive(load, options, served, site.client)
        measure = (*served.count_begin, *drive, *served.count_end)
    else:
        measure = generator.drive(load, options, served, site.client)
    return Script(
        setup=setup,
        measure=measure,
        teardown=served.down,
    )


def polling_machine(trial: Trial, topology: Topology) -> str:
    """The machine whose CPUs poll without rest while the trial lasts; empty if there is none."""
    polls = DRIVERS[trial.stack].apps[trial.app].polls
    return topology.node("server").name if polls else ""


def taken(trial: Trial) -> Iterator[Role]:
    """The roles whose NIC a program takes from Linux for the trial."""
    if DRIVERS[trial.stack].apps[trial.app].takes_nic:
        yield "server"
    if trial.workload.stack != "linux":
        yield "client"


def finish(trial: Trial, topology: Topology, directory: Path) -> None:
    """After the steps: turn what was collected into the raw files that analysis reads.

    Raises StepError, whatever is wrong with what was collected: the trial failed, not the run.
    """
    try:
        _convert(trial, topology, directory)
    except FileNotFoundError as error:
        name = Path(error.filename or "").name
        raise StepError(
            f"{name} is missing: no step of the trial collected it",
            hint=f"the steps of stack {trial.stack} and generator {trial.generator} must",
        ) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StepError(
            f"what the trial collected is not what it must be: {type(error).__name__}: {error}",
            hint=f"the files are in {directory}",
        ) from error


def _convert(trial: Trial, topology: Topology, directory: Path) -> None:
    GENERATORS[trial.generator].convert(directory)
    if trial.kind == "accounting":
        load = json.loads((directory / "load.json").read_text(encoding="utf-8"))
        if not load["requests_total"]:
            raise StepError("no request was answered while the server was being counted")
        device = placement.device(topology, topology.service_port("server"), trial.clock)
        if DRIVERS[trial.stack].apps[trial.app].takes_nic:
            device = ""
        accounting.summarize(directory, device, load["requests_total"])


def record(trial: Trial) -> dict[str, Any]:
    """The trial as trial.json and the manifest hold it."""
    workload = trial.workload
    asked: dict[str, Any] = {
        "protocol": trial.protocol,
        "mode": workload.mode,
        "arrival": workload.arrival if workload.mode == "open" else "closed",
        "connections": workload.connections,
        "threads": workload.threads,
        "message_bytes": 0 if trial.protocol.startswith("memcached-") else workload.message_bytes,
        "depth": workload.depth,
        "rpcs_per_connection": workload.rpcs_per_connection,
        "addresses": workload.addresses,
        "stack": workload.stack,
        "poll": workload.poll,
    }
    if workload.mode == "closed":
        asked["think_time_ns"] = workload.think_time_ns
        asked["users"] = workload.users
    if trial.protocol == "udp-echo":
        asked["reply_timeout_ns"] = workload.reply_timeout_ns
    if workload.trace is not None:
        asked["trace"] = {"file": workload.trace.file, "period_ns": workload.trace.period_ns}
    if trial.protocol.startswith("memcached-"):
        asked["memcached"] = workload.memcached.model_dump(exclude_none=True)
    if trial.protocol == "spin":
        service = workload.service_time
        asked["service_time"] = {
            "distribution": service.distribution,
            "mean_ns": service.mean_ns,
            "sigma": service.sigma,
        }
    plain = trial.to_json()
    return {
        **{name: value for name, value in plain.items() if value is not None},
        "workload": asked,
        # `workload` names what analysis compares, with what the protocol makes of it; this is all
        # that was asked, as the experiment's model has it, to repeat the trial by.
        "workload_exact": plain["workload"],
        "axes": {key: _text(value) for key, value in trial.point.items()},
    }


def label(trial: Trial) -> str:
    """The trial in a few words, for progress and messages."""
    load = "" if trial.offered_rps is None else f" at {trial.offered_rps:g}/s"
    others = "".join(
        f" {key.rpartition('.')[2]}={_text(value)}"
        for key, value in trial.point.items()
        if key not in ("variant", "load")
    )
    kind = "" if trial.kind == "measure" else f" ({trial.kind})"
    return f"{trial.variant}{load}{others} #{trial.repetition}{kind}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _site(trial: Trial, topology: Topology) -> Site:
    return Site(
        server=_endpoint(trial, topology, "server", 1),
        client=_endpoint(trial, topology, "client", trial.workload.addresses),
    )


def _endpoint(trial: Trial, topology: Topology, role: Role, addresses: int) -> Endpoint:
    port = topology.service_port(role)
    node = topology.node(role)
    return Endpoint(
        machine=port.machine,
        cpu_ids=placement.cpus(topology, node, trial.clock),
        device=placement.device(topology, port, trial.clock),
        queues=port.queues,
        mac=port.mac,
        addresses=tuple(port.address(number) for number in range(addresses)),
        viommu=placement.has_iommu(topology, node, trial.clock),
        lasting=trial.clock == "wall",
    )


def _serve(trial: Trial, site: Site) -> Served:
    driver = DRIVERS[trial.stack]
    # The models that drivers offer derive from Options; the plan has validated the values.
    model = cast(type[Options], driver.apps[trial.app].options)
    options = model.model_validate(dict(trial.options))
    return driver.serve(trial.app, options, trial.workload.message_bytes, site)


def _client_addresses(trial: Trial, topology: Topology, client: Endpoint) -> tuple[Step, ...]:
    port = topology.service_port("client")
    return tuple(
        Run(
            machine=client.machine,
            argv=("ip", "address", "replace", port.cidr(number), "dev", client.device),
        )
        for number in range(1, trial.workload.addresses)
    )
