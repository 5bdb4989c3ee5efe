# SPDX-License-Identifier: Apache-2.0
"""What every stack driver offers, and what it is told.

A driver says HOW a stack and an application on it are started, stopped and measured, as typed
steps. It is data in, data out: no ssh, no clock, no file. One file per driver;
`orchestrator.stacks.DRIVERS` lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from orchestrator.spec.registry import Application
from orchestrator.steps.model import Step

BIN = "/opt/ringbed/bin"
"""Where the project's own executables are in a guest."""

SERVER_PORT = 7000


class Options(BaseModel):
    """Base of the option models of the applications: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One role's machine as drivers see it. cpu_ids: its CPUs, as the kernel numbers them.
    addresses: of the data interface, without prefix;
    a client may have several. queues, mac: of the data interface. viommu: the guest that it is in
    has an IOMMU. lasting: that guest takes other trials after this one, which must find it as it
    was.
    """

    machine: str
    cpu_ids: tuple[int, ...]
    device: str
    queues: int
    mac: str
    addresses: tuple[str, ...]
    viommu: bool = False
    lasting: bool = False

    @property
    def cpus(self) -> int:
        return len(self.cpu_ids)

    def cpu_list(self, threads: int) -> str:
        """A CPU for each of so many threads, in turn, separated by commas."""
        return ",".join(str(self.cpu_ids[number % self.cpus]) for number in range(threads))

    @property
    def address(self) -> str:
        return self.addresses[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a trial takes place: the roles and what joins them."""

    server: Endpoint
    client: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An application on a stack: the steps to bring it up and down, and where it listens: `ports`
    from `port` on. mac: of a server without ARP that sends every frame back to where it came from.

    count_begin and count_end bracket the load of an accounting trial: what counts system calls and
    packets per batch of this stack, and how the counts are collected. They are there when the
    application says that it is `counted`, and only then.
    """

    address: str
    port: int
    up: tuple[Step, ...]
    down: tuple[Step, ...]
    ports: int = 1
    mac: str = ""
    count_begin: tuple[Step, ...] = ()
    count_end: tuple[Step, ...] = ()


class Stack(Protocol):
    """A stack driver."""

    name: str
    summary: str
    apps: Mapping[str, Application]

    def serve(self, app: str, options: Options, message_bytes: int, site: Site) -> Served:
        """The steps that serve `app` at the site; options is of the application's own model."""
        ...
