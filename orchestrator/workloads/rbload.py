# SPDX-License-Identifier: Apache-2.0
"""ringbed's own load generator (dataplane/load)."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.spec.registry import Generator as Offer
from orchestrator.spec.workload import Workload
from orchestrator.stacks import device, dpos
from orchestrator.stacks.base import BIN, Endpoint, Served
from orchestrator.steps.model import Collect, Put, Run, Step
from orchestrator.workloads.base import Load

# Of the generator itself, where it runs on the dataplane.
_COUNTERS = "client-dpos.json"
_CONNECTIONS = 65536
_APPLICATION_MIB = 32
# That many connections fit into it; each beyond them takes so many bytes more.
_CONNECTIONS_WITHIN = 16384
_CONNECTION_BYTES = 4096
MIB = 1 << 20
CONNECT_TIMEOUT_S = 10.0
_CONNECT_RATE = 2000
FILL_TIMEOUT_S = 60.0
SECOND_NS = 1_000_000_000
POPULATE_NS = 100_000_000
# Its status when nothing was answered: a void point with its reason in load.json, like any other.
UNANSWERED = 3


class Rbload:
    """Drives echo (also in datagrams), spin and memcached; writes load.json itself."""

    offer = Offer(
        name="rbload",
        text="ringbed's own load generator",
        protocols=frozenset({"echo", "spin", "memcached", "udp-echo"}),
        modes=frozenset({"open", "closed"}),
    )

    def populate(self, load: Load, served: Served, client: Endpoint) -> tuple[Step, ...]:
        if not load.protocol.startswith("memcached"):
            return ()
        # The keys are stored before a short closed loop, whose result nobody reads.
        argv = (
            f"{BIN}/rbload",
            *_target(served),
            "--mode=closed",
            *_connections(load, client),
            *_payload(load),
            "--warmup=0s",
            f"--duration={POPULATE_NS}ns",
            f"--seed={load.seed}",
            f"--fill-timeout={FILL_TIMEOUT_S:g}s",
            "--output={out}/populate.json",
        )
        return (Run(machine=client.machine, argv=argv, deadline_s=FILL_TIMEOUT_S + 20),)

    def drive(
        self, load: Load, options: Mapping[str, object], served: Served, client: Endpoint
    ) -> tuple[Step, ...]:
        machine = client.machine
        argv = [
            f"{BIN}/rbload",
            *_target(served),
            *_pace(load),
            *_connections(load, client),
            *_payload(load),
            f"--warmup={load.warmup_ns}ns",
            f"--duration={load.duration_ns}ns",
            f"--rundown={load.workload.rundown_ns}ns",
            f"--connect-timeout={CONNECT_TIMEOUT_S:g}s",
            f"--connect-rate={_connect_rate(load.workload)}",
            f"--seed={load.seed}",
            "--output={out}/load.json",
        ]
        phases_ns = load.warmup_ns + load.duration_ns + load.workload.rundown_ns
        measured_s = phases_ns / SECOND_NS
        overhead_s = CONNECT_TIMEOUT_S + 10.0
        if load.protocol.startswith("memcached"):
            argv.append("--fill=no" if load.populated else f"--fill-timeout={FILL_TIMEOUT_S:g}s")
            overhead_s += FILL_TIMEOUT_S
        if load.workload.poll:
            argv.append("--poll")
        steps: list[Step] = []
        if load.workload.stack != "linux":
            pages, argv = _on_own_nic(load.workload, argv, served, client)
            steps += device.take(client, pages)
            overhead_s += device.START_S + device.GRACE_S
        if load.workload.trace is not None:
            steps.append(Put(machine=machine, path="{out}/arrivals.trace", text=load.trace))
        deadline_s = measured_s + overhead_s
        run = Run(machine=machine, argv=tuple(argv), deadline_s=deadline_s, accept=(0, UNANSWERED))
        steps.append(run)
        steps.append(Collect(machine=machine, path="{out}/load.json", into="load.json"))
        if load.workload.stack == "ix":
            path = f"{{out}}/{_COUNTERS}"
            steps.append(Collect(machine=machine, path=path, into=_COUNTERS))
        if load.workload.stack != "linux":
            steps += (*device.give_back(client), *device.collect(client))
        return tuple(steps)

    def convert(self, directory: Path) -> None:
        """Nothing to do: load.json is the generator's own."""


def _target(served: Served) -> list[str]:
    return [f"--target={served.address}:{served.port}", f"--target-ports={served.ports}"]


def _on_own_nic(
    workload: Workload, argv: list[str], served: Served, client: Endpoint
) -> tuple[int, list[str]]:
    """Huge pages, and the command with all it needs where the client's NIC was taken."""
    if workload.stack == "l2":
        return dpos.frames_pages(), [*dpos.frames_words(client, served.mac), *argv[1:]]
    own, threads = _client_options(workload), workload.threads
    words = (
        *dpos.start_words("ix", own, client, threads, _COUNTERS),
        *dpos.application_words(own, client, threads),
    )
    return dpos.huge_pages(own, threads), [*words, *argv]


def _client_options(workload: Workload) -> dpos.ServerOptions:
    """Of the dataplane that the generator runs on: more connections want more of its memory."""
    each = -(-workload.connections // workload.threads)
    beyond = max(0, each - _CONNECTIONS_WITHIN)
    return dpos.ServerOptions(
        connections=max(_CONNECTIONS, each),
        application_mib=_APPLICATION_MIB + beyond * _CONNECTION_BYTES // MIB,
    )


def _connect_rate(workload: Workload) -> int:
    """Connections a second, so that many are there well before CONNECT_TIMEOUT_S; no faster, for
    a listener of Linux drops what it has no room for."""
    return max(_CONNECT_RATE, int(workload.connections / (CONNECT_TIMEOUT_S / 2)))


def _pace(load: Load) -> list[str]:
    workload = load.workload
    if workload.mode == "closed":
        # A closed loop has no schedule of its own that the client could miss.
        return [
            "--mode=closed",
            f"--users={workload.users}",
            f"--think-time={workload.think_time_ns}ns",
            "--min-on-time=0",
        ]
    late = workload.adherence
    argv = [
        "--mode=open",
        f"--arrival={workload.arrival}",
        f"--late-after={late.late_after_ns}ns",
        f"--min-on-time={late.min_on_time!r}",
    ]
    if workload.trace is not None:
        argv += ["--trace={out}/arrivals.trace", f"--trace-period={workload.trace.period_ns}ns"]
    else:
        argv.append(f"--rate={load.offered_rps!r}")
    return argv


def _connections(load: Load, client: Endpoint) -> list[str]:
    workload = load.workload
    threads = workload.threads
    return [
        f"--threads={threads}",
        f"--cpus={client.cpu_list(threads)}",
        f"--connections={workload.connections}",
        f"--depth={workload.depth}",
        f"--rpcs-per-connection={workload.rpcs_per_connection}",
        "--source=" + ",".join(client.addresses),
    ]


def _payload(load: Load) -> list[str]:
    workload = load.workload
    if load.protocol == "udp-echo":
        timeout = f"--reply-timeout={workload.reply_timeout_ns}ns"
        size = f"--message-bytes={workload.message_bytes}"
        return ["--protocol=echo", "--transport=udp", timeout, size]
    argv = [f"--protocol={load.protocol}"]
    if load.protocol.startswith("memcached"):
        return argv + _memcached(workload)
    argv.append(f"--message-bytes={workload.message_bytes}")
    if load.protocol == "spin":
        service = workload.service_time
        argv += [
            f"--service-distribution={service.distribution}",
            f"--service-mean={service.mean_ns}ns",
            f"--service-sigma={service.sigma!r}",
        ]
    return argv


def _memcached(workload: Workload) -> list[str]:
    kv = workload.memcached
    argv = [
        f"--workload={kv.profile}",
        f"--keys={kv.keys}",
        f"--popularity={kv.popularity}",
        f"--zipf-exponent={kv.zipf_exponent!r}",
        f"--key-bytes={kv.key_bytes}",
        f"--value-bytes={kv.value_bytes}",
    ]
    if kv.get_share is not None:
        argv.append(f"--get-share={kv.get_share!r}")
    return argv
