# SPDX-License-Identifier: Apache-2.0
"""ringbed's own dataplane, `dpos`: what its stacks have in common, and those there are.

It takes the NIC from Linux, polls it, and runs the application on its own TCP/IP; the loop is the
stack's (dataplane/policy).
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from orchestrator.spec.registry import Application, pollers
from orchestrator.stacks import accounting, device
from orchestrator.stacks.base import BIN, SERVER_PORT, Endpoint, Options, Served, Site
from orchestrator.steps.model import Collect, Start, Step, Stop, WaitFor

SERVER = "server"
COUNTERS = "dpos.json"
_PAGE_MIB = device.HUGE_PAGE_KIB // 1024

# The device's PCI address is known once it was taken.
_PCI = r"""pci=$(sed -n 's/.*"pci": "\([^"]*\)".*/\1/p' "$0")"""


class DposOptions(Options):
    """Options of every stack of the dataplane."""

    batch: int = Field(
        default=64, ge=1, le=64, description="The bound B: packets that one turn takes at most."
    )
    memory_mib: int = Field(
        default=64,
        ge=48,
        le=16384,
        description="Huge pages for the device's rings and buffers, in MiB, of each core.",
    )


class L2Options(DposOptions):
    """Options of the stack without protocols."""

    threads: int = Field(
        default=0,
        ge=0,
        le=8,
        description="Cores that poll, each with a queue and a vCPU of its own, of which there must "
        "be as many; 0 is the smaller number of both.",
    )


class ServerOptions(DposOptions):
    """Options of the stacks that run an application."""

    threads: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Cores that poll, each with a queue, a vCPU and a thread of the application.",
    )

    application_mib: int = Field(
        default=32,
        ge=8,
        le=16384,
        description="Huge pages for the application, in MiB, for each of its threads.",
    )
    connections: int = Field(
        default=16384, ge=1, le=1 << 20, description="Connections at a time, of each core."
    )
    ports: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Ports to listen on. A client on the dataplane opens at most 32,768 "
        "connections to one.",
    )


class KvOptions(ServerOptions):
    """Options of ringbed's own key-value server."""

    memory_limit_mib: int = Field(default=16, ge=1, le=65536, description="Memory for items, MiB.")


class IxStack:
    """Runs each batch of packets to completion."""

    name = "ix"
    summary = "ringbed's dataplane: run to completion on DPDK, one queue and one core each"
    apps: Mapping[str, Application] = {
        "echo": Application(
            name="echo",
            protocol="echo",
            text="returns every message unchanged",
            options=ServerOptions,
            counted=True,
            takes_nic=True,
            polls=True,
        ),
        "spin": Application(
            name="spin",
            protocol="spin",
            text="works as long as the request asks for, then answers",
            options=ServerOptions,
            counted=True,
            takes_nic=True,
            polls=True,
        ),
        "memcached": Application(
            name="memcached",
            protocol="memcached",
            text="ringbed's own server of memcached's protocols",
            options=KvOptions,
            counted=True,
            takes_nic=True,
            polls=True,
        ),
    }

    def serve(self, app: str, options: Options, message_bytes: int, site: Site) -> Served:
        if not isinstance(options, ServerOptions):
            raise TypeError(f"options of {app} are of another application: {options!r}")
        program = "rb-kv" if app == "memcached" else f"rb-{app}"
        words = (
            *application_words(options, site.server, options.threads),
            f"{BIN}/{program}",
            f"--address={site.server.address}",
            f"--port={SERVER_PORT}",
            f"--ports={options.ports}",
            f"--threads={options.threads}",
            f"--connections={options.connections}",
            "--stats={out}/server.json",
            *_own_words(app, options, message_bytes),
        )
        pages = huge_pages(options, options.threads)
        served = _serve(self.name, options, options.threads, pages, words, site)
        machine = site.server.machine
        return replace(
            served,
            ports=options.ports,
            count_begin=accounting.begin(machine),
            count_end=accounting.end(machine, SERVER),
        )


class L2Stack:
    """Returns frames, and has no protocol."""

    name = "l2"
    summary = "ringbed's dataplane without protocols: every frame goes back, the floor of all"
    apps: Mapping[str, Application] = {
        "udp-echo": Application(
            name="udp-echo",
            protocol="udp-echo",
            text="returns every frame, addresses and ports swapped",
            options=L2Options,
            takes_nic=True,
            polls=True,
        ),
    }

    def serve(self, app: str, options: Options, message_bytes: int, site: Site) -> Served:
        if not isinstance(options, L2Options):
            raise TypeError(f"options of {app} are of another application: {options!r}")
        threads = pollers(options.threads, site.server.queues, site.server.cpus)
        pages = _pages(options.memory_mib * threads)
        served = _serve(self.name, options, threads, pages, (), site)
        return replace(
            served,
            mac=site.server.mac,
            up=(device.neighbour(site), *served.up),
            down=(*served.down, *device.forget_neighbour(site)),
        )


def start_words(
    stack: str, options: DposOptions, machine: Endpoint, threads: int, counters: str
) -> tuple[str, ...]:
    """The command that runs dpos on a machine's NIC, which was taken; what it runs comes behind."""
    return (
        *_on_nic(f"{BIN}/dpos", options, machine, threads),
        f"--stack={stack}",
        f"--stats={{out}}/{counters}",
    )


def frames_words(machine: Endpoint, server_mac: str) -> tuple[str, ...]:
    """The command that sends bare frames from a machine's NIC, which was taken; the options of the
    load generator come behind."""
    return (
        *_on_nic(f"{BIN}/rb-frames {server_mac}", DposOptions(), machine, 1),
        f"--address={machine.address}",
        "--",
    )


def frames_pages() -> int:
    """How many huge pages that program needs."""
    return _pages(DposOptions().memory_mib)


def _on_nic(program: str, options: DposOptions, machine: Endpoint, threads: int) -> tuple[str, ...]:
    return (
        *("sh", "-c", f'{_PCI} && exec {program} --device="$pci" "$@"', device.nic_file(machine)),
        f"--cpus={machine.cpu_list(threads)}",
        f"--batch={options.batch}",
        f"--huge-memory={options.memory_mib * threads}m",
        f"--iova={'virtual' if machine.viommu else 'physical'}",
    )


def application_words(options: ServerOptions, machine: Endpoint, threads: int) -> tuple[str, ...]:
    """What dpos is told when it runs an application, up to its name."""
    return (
        f"--address={machine.address}",
        f"--connections={options.connections}",
        f"--app-memory={options.application_mib * threads}m",
        "--",
    )


def huge_pages(options: ServerOptions, threads: int) -> int:
    """How many it needs with so many cores: whole ones for the device and for the application."""
    return _pages(options.memory_mib * threads) + _pages(options.application_mib * threads)


def _pages(mib: int) -> int:
    return -(-mib // _PAGE_MIB)


def _own_words(app: str, options: ServerOptions, message_bytes: int) -> tuple[str, ...]:
    if app == "echo":
        return (f"--message-bytes={message_bytes}",)
    if isinstance(options, KvOptions):
        return (f"--memory={options.memory_limit_mib}m",)
    return ()


def _serve(
    stack: str,
    options: DposOptions,
    threads: int,
    pages: int,
    words: tuple[str, ...],
    site: Site,
) -> Served:
    server = site.server
    argv = (*start_words(stack, options, server, threads, COUNTERS), *words)
    up: tuple[Step, ...] = (
        *device.take(server, pages),
        Start(machine=server.machine, name=SERVER, argv=argv),
        WaitFor(machine=server.machine, name=SERVER, line="ready", deadline_s=device.START_S),
        *device.alone(server),
    )
    collect = tuple(
        Collect(machine=server.machine, path=f"{{out}}/{name}", into=name, optional=True)
        for name in ("server.json", COUNTERS, f"{SERVER}.log")
    )
    return Served(
        address=server.address,
        port=SERVER_PORT,
        up=up,
        down=(
            Stop(machine=server.machine, name=SERVER, grace_s=device.GRACE_S),
            *device.give_back(server),
            *collect,
            *device.collect(server),
        ),
    )
