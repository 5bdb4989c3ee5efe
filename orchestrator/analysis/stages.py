# SPDX-License-Identifier: Apache-2.0
"""The instructions of a dataplane's core by stage: driver, protocols, crossing, application.

A stage is a set of functions, told by where they are: `net/tcp_ack.c:tcp_ack`. An instruction
belongs to the stage of the innermost one that the table has, of those that the compiler inlined
there; when it has none of them, such as a list's or the checksum's, or when the code is a
library's, to that of the call that led there. So DPDK's driver is told into receiving and sending
by who called it, and what several stages share is each one's own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.analysis import fields
from orchestrator.analysis.instructions import Instructions
from orchestrator.analysis.profile import HIGH, LINUX
from orchestrator.analysis.symbols import PAGE, ProgramSymbols

DATAPLANE: Final = "dpos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """places: how the paths of its files, or files and functions, begin below dataplane/."""

    name: str
    text: str
    places: tuple[str, ...] = ()


DRIVER_IN = Stage(
    name="driver, in",
    text="DPDK's driver and ours above it, receiving",
    places=("nic/receive.c", "nic/rss.c"),
)
IP_IN = Stage(
    name="Ethernet, IP",
    text="frames and packets in, until it is known whose they are; ARP, ICMP, UDP",
    places=(
        *("net/input.", "net/ethernet.", "net/ip", "net/arp.", "net/nd.", "net/icmp"),
        *("net/packet.h", "net/udp."),
    ),
)
TCP_OUT = Stage(
    name="TCP out",
    text="segments made, with their headers of IP and Ethernet",
    places=(
        *("net/tcp_output", "net/tcp_making.h", "net/tcp_header.h", "net/tcp_send.c"),
        *("net/tx.", "net/pending.", "net/instance.c:rb_net_flush"),
    ),
)
TIMERS = Stage(
    name="timers",
    text="deadlines that are due, and those that are set anew",
    places=("net/tcp_timer.c", "net/instance.c:rb_net_advance", "core/core.c:core_timers"),
)
TCP_IN = Stage(
    name="TCP in",
    text="connections found, segments judged, acknowledgements, delivery, opening and closing",
    places=("net/tcp", "net/flow."),
)
CROSSING = Stage(
    name="crossing",
    text="events and commands from one side to the other: context, guard, and the library's side",
    places=(
        *("core/context.", "core/command.c", "core/core.c:core_events", "core/core.c:core_cross"),
        *(
            "core/core.c:core_asked",
            "guard/",
            "user/context.",
            "user/dpos.c",
            "user/backend.",
            "abi/",
        ),
    ),
)
APPLICATION = Stage(
    name="application",
    text="the program, with its library and its C library",
    places=("apps/", "user/", "load/"),
)
DRIVER_OUT = Stage(
    name="driver, out", text="DPDK's driver and ours above it, sending", places=("nic/transmit.c",)
)
LOOP = Stage(
    name="loop", text="the turn itself, its clock and its counters", places=("policy/", "core/")
)
LINUX_STAGE = Stage(name="Linux", text="interrupts that came on the core's CPU")
UNTOLD = Stage(name="not told", text="what no file of the table accounts for")

# In the order of a request's way.
STAGES: Final = (
    *(DRIVER_IN, IP_IN, TCP_IN, CROSSING, APPLICATION, TCP_OUT, DRIVER_OUT, TIMERS, LOOP),
    *(LINUX_STAGE, UNTOLD),
)
# In the order in which a function is looked up: the first that has it.
_LOOKUP: Final = (
    *(DRIVER_IN, DRIVER_OUT, IP_IN, TCP_OUT, TIMERS, TCP_IN, CROSSING, APPLICATION, LOOP),
)

# What finds a connection's records is a part of whatever looks at them.
_SHARED: Final = ("net/tcp_parts.h", "net/tcp_handle.h")

type Chain = Sequence[str]
type FindChains = Callable[[str, Sequence[int]], Mapping[int, Chain]]
"""What the instructions at some addresses of a program come from: host.lines.chains."""


def stage_of(chain: Chain) -> Stage | None:
    """The stage of an instruction by what it comes from, innermost first."""
    for place in chain:
        if place.startswith(_SHARED):
            continue
        for stage in _LOOKUP:
            if place.startswith(stage.places):
                return stage
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Instructions of a machine in the measured phase, idle turns apart, and its requests."""

    instructions: Mapping[Stage, int]
    requests: int

    def per_request(self, stage: Stage) -> float:
        return self.instructions.get(stage, 0) / self.requests

    @property
    def total(self) -> float:
        return sum(self.instructions.values()) / self.requests


def breakdown(
    counts: Path,
    pages: Path,
    programs: Mapping[str, Path],
    find_chains: FindChains,
    cpus: Sequence[int],
    requests: int,
) -> Breakdown:
    """What accounting/profile.c wrote, by stage, for the CPUs of one machine.

    programs: ours, compiled with lines, by their names in the guest. Raises RawError.
    """
    data = fields.load(counts)
    data.schema(1)
    nodes: list[tuple[int, int]] = list(zip(*[iter(data.get("nodes"))] * 2, strict=True))
    cells = [cell for cell in zip(*[iter(data.get("cells"))] * 5, strict=True) if cell[0] in cpus]
    found = _Places(pages.read_bytes(), programs)
    found.learn(_wanted(nodes, cells), find_chains)
    instructions: Counter[Stage] = Counter()
    for _, domain, node, place, count in cells:
        instructions[_stage(nodes, found, domain, node, place)] += count
    return Breakdown(instructions=dict(instructions), requests=requests)


def cpus_of(counted: Instructions, machine: str) -> tuple[int, ...]:
    return tuple(cpu.number for cpu in counted.cpus if cpu.machine == machine)


def _wanted(nodes: Sequence[tuple[int, int]], cells: Sequence[Sequence[int]]) -> Iterator[int]:
    for _, domain, node, place, _ in cells:
        if domain != LINUX:
            yield from (place, *_callers(nodes, node))


def _callers(nodes: Sequence[tuple[int, int]], node: int) -> Iterator[int]:
    """The places of the calls that led to a node, innermost first; node 0 is none."""
    while node:
        node, place = nodes[node - 1]
        yield place


def _stage(
    nodes: Sequence[tuple[int, int]], found: "_Places", domain: int, node: int, place: int
) -> Stage:
    if domain == LINUX:
        return LINUX_STAGE
    for one in (place, *_callers(nodes, node)):
        if one < HIGH and (stage := found.stage(one)) is not None:
            return stage
    return UNTOLD


class _Places:
    """Stages of places in programs."""

    def __init__(self, pages: bytes, programs: Mapping[str, Path]) -> None:
        split = [pages[at : at + PAGE] for at in range(0, len(pages), PAGE)]
        self._symbols = ProgramSymbols(split, programs)
        self._stages: dict[int, Stage | None] = {}

    def learn(self, places: Iterator[int], find_chains: FindChains) -> None:
        wanted: dict[str, dict[int, int]] = {}
        for place in places:
            located = self._symbols.locate(place) if place < HIGH else None
            if located is not None:
                name, address = located
                wanted.setdefault(name, {})[place] = address
        for name, addresses in wanted.items():
            chains = find_chains(name, list(addresses.values()))
            # An application has nothing of the dataplane in it but the library's way across.
            otherwise = None if name == DATAPLANE else APPLICATION
            for place, address in addresses.items():
                self._stages[place] = stage_of(chains[address]) or otherwise

    def stage(self, place: int) -> Stage | None:
        return self._stages.get(place)
