# SPDX-License-Identifier: Apache-2.0
"""The Linux stack: kernel sockets, epoll, interrupts and NAPI. The baseline for all others."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from orchestrator.spec.registry import Application
from orchestrator.stacks import accounting
from orchestrator.stacks.base import BIN, SERVER_PORT, Endpoint, Options, Served, Site
from orchestrator.steps.model import Collect, Start, Step, Stop, WaitFor

SERVER = "server"


class ProcessOptions(Options):
    """What every server has, being a process."""

    environment_bytes: int = Field(
        default=0,
        ge=0,
        le=65536,
        description="Bytes added to the environment: they move the stack, and mean nothing.",
    )

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """What is added to it, as variables."""
        padding = "x" * self.environment_bytes
        return (("RINGBED_PADDING", padding),) if padding else ()


class ServerOptions(ProcessOptions):
    """Options of ringbed's own servers."""

    threads: int = Field(default=0, ge=0, le=64, description="Threads; 0 is one per vCPU.")
    listen: Literal["single", "reuseport"] = Field(
        default="reuseport",
        description="One listen socket that all threads share, or one per thread (SO_REUSEPORT).",
    )
    pin: bool = Field(default=True, description="Pin each thread to a vCPU of its own.")


class UdpOptions(ProcessOptions):
    """Options of ringbed's own server of datagrams."""

    threads: int = Field(
        default=0, ge=0, le=64, description="Threads, each with a socket; 0 is one per vCPU."
    )
    pin: bool = Field(default=True, description="Pin each thread to a vCPU of its own.")


class MemcachedOptions(ProcessOptions):
    """Options of Debian's memcached."""

    threads: int = Field(default=0, ge=0, le=64, description="Worker threads; 0 is one per vCPU.")
    memory_mib: int = Field(default=64, ge=8, le=65536, description="Memory for items, in MiB.")


class LinuxStack:
    """Serves echo, spin and memcached, and echo of datagrams, on kernel sockets."""

    name = "linux"
    summary = "Kernel sockets, epoll, interrupts and NAPI"
    apps: Mapping[str, Application] = {
        "echo": Application(
            name="echo",
            protocol="echo",
            text="returns every message unchanged",
            options=ServerOptions,
            counted=True,
        ),
        "spin": Application(
            name="spin",
            protocol="spin",
            text="works as long as the request asks for, then answers",
            options=ServerOptions,
            counted=True,
        ),
        "udp-echo": Application(
            name="udp-echo",
            protocol="udp-echo",
            text="returns every datagram unchanged",
            options=UdpOptions,
            counted=True,
        ),
        "memcached": Application(
            name="memcached",
            protocol="memcached",
            text="Debian's own memcached",
            options=MemcachedOptions,
            counted=True,
        ),
    }

    def serve(self, app: str, options: Options, message_bytes: int, site: Site) -> Served:
        if isinstance(options, MemcachedOptions):
            up = _memcached(options, site.server)
            collect: tuple[Step, ...] = ()
        elif isinstance(options, UdpOptions):
            up, collect = _udp_echo(options, site.server), ()
        elif isinstance(options, ServerOptions):
            up = _own_server(app, options, message_bytes, site.server)
            collect = (_collect(site.server, "server.json"),)
        else:
            raise TypeError(f"options of {app} are of another application: {options!r}")
        machine = site.server.machine
        return Served(
            address=site.server.address,
            port=SERVER_PORT,
            up=up,
            down=(
                Stop(machine=machine, name=SERVER),
                *collect,
                _collect(site.server, f"{SERVER}.log"),
            ),
            count_begin=accounting.begin(machine),
            count_end=accounting.end(machine, SERVER),
        )


def _collect(server: Endpoint, name: str) -> Collect:
    return Collect(machine=server.machine, path=f"{{out}}/{name}", into=name, optional=True)


def _own_server(
    app: str, options: ServerOptions, message_bytes: int, server: Endpoint
) -> tuple[Step, ...]:
    threads = options.threads or server.cpus
    argv = [
        f"{BIN}/rb-{app}",
        f"--address={server.address}",
        f"--port={SERVER_PORT}",
        f"--threads={threads}",
        f"--listen={options.listen}",
        "--stats={out}/server.json",
    ]
    if app == "echo":
        argv.append(f"--message-bytes={message_bytes}")
    if options.pin:
        argv.append(f"--cpus={server.cpu_list(threads)}")
    return (
        Start(machine=server.machine, name=SERVER, argv=tuple(argv), env=options.environment),
        WaitFor(machine=server.machine, name=SERVER, line="ready"),
    )


def _udp_echo(options: UdpOptions, server: Endpoint) -> tuple[Step, ...]:
    threads = options.threads or server.cpus
    argv = [
        f"{BIN}/rb-udp-echo",
        f"--address={server.address}",
        f"--port={SERVER_PORT}",
        f"--threads={threads}",
    ]
    if options.pin:
        argv.append(f"--cpus={server.cpu_list(threads)}")
    return (
        Start(machine=server.machine, name=SERVER, argv=tuple(argv), env=options.environment),
        WaitFor(machine=server.machine, name=SERVER, line="ready"),
    )


def _memcached(options: MemcachedOptions, server: Endpoint) -> tuple[Step, ...]:
    argv = (
        "memcached",
        "--user=memcache",
        f"--listen={server.address}",
        f"--port={SERVER_PORT}",
        "--udp-port=0",
        f"--threads={options.threads or server.cpus}",
        f"--memory-limit={options.memory_mib}",
        "--conn-limit=65536",
    )
    return (
        Start(machine=server.machine, name=SERVER, argv=argv, env=options.environment),
        WaitFor(machine=server.machine, name=SERVER, port=SERVER_PORT),
    )
