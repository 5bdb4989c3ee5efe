# SPDX-License-Identifier: Apache-2.0
"""What a plan must know about stacks and load generators, without importing them.

The packages that hold the drivers stand above spec; whoever makes a plan passes an object that
fits `Registry`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

type AppProtocol = Literal["echo", "spin", "memcached", "udp-echo"]
type Mode = Literal["open", "closed"]


class NoOptions(BaseModel, extra="forbid", frozen=True):
    """The option model of an application or a generator that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application as one stack runs it.

    options: validates `options` of a variant; must forbid extra keys. A trial carries the dump of
    that model in JSON form by alias, which the driver validates again into the model.
    counted: whether the driver counts what the application asks of its stack
    (`Served.count_begin`); only then has a variant an accounting trial.
    takes_nic: it takes the server's NIC away from Linux while it runs.
    polls: its CPUs never rest, so that what they execute is not what a request costs. Its option
    `threads` is as `pollers` reads it.
    """

    name: str
    protocol: AppProtocol
    text: str
    options: type[BaseModel] = NoOptions
    counted: bool = False
    takes_nic: bool = False
    polls: bool = False


def pollers(threads: int, queues: int, cpus: int) -> int:
    """How many threads poll, each a queue of its own on a CPU of its own. threads: as asked for; 0
    is as many as there are of both."""
    return threads or min(queues, cpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A load generator: what it can speak, and how it can drive. `options` as in Application."""

    name: str
    text: str
    protocols: frozenset[AppProtocol]
    modes: frozenset[Mode]
    options: type[BaseModel] = NoOptions


class Registry(Protocol):
    """All drivers by name."""

    @property
    def stacks(self) -> Mapping[str, Mapping[str, Application]]:
        """Stack name -> application name -> application."""
        ...

    @property
    def generators(self) -> Mapping[str, Generator]: ...
