# SPDX-License-Identifier: Apache-2.0
"""instructions.json: what each CPU of a guest on the virtual clock executed under load.

The counts are exact: QEMU's own, by CPU and privilege domain. `user` is ring 3; `kernel` is ring 0
in the upper half of the address space, Linux; `ring0` is ring 0 in the lower half, where a
dataplane runs that is a guest of the guest.

Of these, instructions that are atomic (`locked`) or order all others (`barriers`) are counted
apart: accounting/locked.h says which they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.analysis import fields

MEASURED = "measured"
HOUSE = "house"
DOMAINS = ("user", "kernel", "ring0")
ATOMICS = ("locked", "barriers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Atomics:
    """How many instructions of a kind a CPU executed in the measured phase, by domain; idle: those
    of idle turns, none of them the kernel's."""

    measured: Mapping[str, int]
    idle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """A virtual CPU, whose it is, and its instructions of the measured phase by domain.

    polls: it never rests, so that most of them may have done nothing. turns: of its loop in that
    phase, if it marks them (dataplane/base/phase.h); idle_turns: those of them that found nothing
    to do; idle: what these executed, none of it the kernel's. atomics: by kind; empty where they
    were not counted, as ringbed did not at first.
    """

    number: int
    machine: str
    polls: bool
    measured: Mapping[str, int]
    turns: int = 0
    idle_turns: int = 0
    idle: int = 0
    atomics: Mapping[str, Atomics] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.measured.values())

    @property
    def is_told(self) -> bool:
        """Whether what it did for requests can be told from what it executed."""
        return not self.polls or self.turns > 0

    def busy(self, domain: str = "") -> int:
        """Without what idle turns executed: of all domains, or one."""
        return self._busy(self.measured, self.idle, domain)

    def busy_atomics(self, kind: str, domain: str = "") -> int:
        """The same of one of ATOMICS."""
        found = self.atomics[kind]
        return self._busy(found.measured, found.idle, domain)

    def _busy(self, measured: Mapping[str, int], idle: int, domain: str) -> int:
        if not domain:
            return sum(measured.values()) - idle
        polling = max(("user", "ring0"), key=lambda name: self.measured[name])
        return measured[domain] - (idle if domain == polling else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    cpus: tuple[Cpu, ...]

    def of(self, machine: str, domain: str = "") -> int:
        """Instructions of a machine's CPUs, idle turns apart, all together or in one domain."""
        return sum(cpu.busy(domain) for cpu in self.cpus if cpu.machine == machine)

    def atomics_of(self, machine: str, kind: str, domain: str = "") -> int:
        """The same of one of ATOMICS."""
        own = (cpu for cpu in self.cpus if cpu.machine == machine)
        return sum(cpu.busy_atomics(kind, domain) for cpu in own)

    def counts_atomics(self) -> bool:
        """Whether atomics were counted at all."""
        return all(cpu.atomics for cpu in self.cpus)

    def busy_turns(self, machine: str) -> int:
        """Turns of its loops that found something to do; 0 where no loop marks them."""
        return sum(cpu.turns - cpu.idle_turns for cpu in self.cpus if cpu.machine == machine)

    def polls(self, machine: str) -> bool:
        """Whether a machine has CPUs that poll without rest."""
        return any(cpu.polls for cpu in self.cpus if cpu.machine == machine)

    def is_told(self, machine: str) -> bool:
        """Whether what a machine executed tells what its requests cost."""
        return all(cpu.is_told for cpu in self.cpus if cpu.machine == machine)


def read_instructions(path: Path) -> Instructions:
    """instructions.json. Raises RawError."""
    data = fields.load(path)
    data.schema(1)
    cpus = []
    for cpu in data.children("cpus"):
        turns = {"begun": 0, "idle": 0, "idle_instructions": 0}
        if cpu.has("turns"):
            turns = cpu.child("turns").counts(MEASURED)
            if "idle_instructions" not in turns:
                raise cpu.error("turns", f"{MEASURED} must have idle_instructions")
        counted = ATOMICS if any(cpu.has(kind) for kind in ATOMICS) else ()
        for name in (f"idle_{kind}" for kind in counted):
            if name not in turns:
                raise cpu.error("turns", f"{MEASURED} must have {name}")
        cpus.append(
            Cpu(
                number=cpu.integer("cpu"),
                machine=cpu.text("machine"),
                polls=cpu.has("polls") and cpu.boolean("polls"),
                measured=_by_domain(cpu, "phases"),
                turns=turns["begun"],
                idle_turns=turns["idle"],
                idle=turns["idle_instructions"],
                atomics={
                    kind: Atomics(measured=_by_domain(cpu, kind), idle=turns[f"idle_{kind}"])
                    for kind in counted
                },
            )
        )
    return Instructions(cpus=tuple(cpus))


def _by_domain(cpu: fields.Fields, kind: str) -> dict[str, int]:
    measured = cpu.child(kind).counts(MEASURED)
    if set(measured) != set(DOMAINS):
        raise cpu.error(kind, f"{MEASURED} must have {', '.join(DOMAINS)}")
    return measured


def instruction_metrics(
    found: Instructions, machines: Mapping[str, str], requests: int
) -> Iterator[tuple[str, str, float]]:
    """Role, metric and value; `requests` were answered in the measured phase.

    What a polling CPU executes is the length of the phase and says nothing of a request: there is
    no metric of it, unless its loop marks which turns had something to do, for these count whole.
    machines: names by role.
    """
    if not requests:
        return
    server = machines["server"]
    if found.is_told(server):
        yield "server", "instructions_per_request", found.of(server) / requests
        for domain in DOMAINS:
            value = found.of(server, domain) / requests
            yield "server", f"instructions_per_request_{domain}", value
        for kind in ATOMICS if found.counts_atomics() else ():
            yield "server", f"{kind}_per_request", found.atomics_of(server, kind) / requests
            for domain in DOMAINS:
                value = found.atomics_of(server, kind, domain) / requests
                yield "server", f"{kind}_per_request_{domain}", value
    if busy := found.busy_turns(server):
        yield "server", "requests_per_turn", requests / busy
    client = machines["client"]
    yield "client", "client_instructions_per_request", found.of(client) / requests
    yield HOUSE, "house_instructions_per_request", found.of(HOUSE) / requests
    roles = {name: role for role, name in machines.items()}
    for cpu in found.cpus:
        if not cpu.is_told:
            continue
        role = roles.get(cpu.machine, cpu.machine)
        yield role, f"busy_instructions_cpu{cpu.number}", float(cpu.busy())
