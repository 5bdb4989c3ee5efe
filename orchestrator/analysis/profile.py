# SPDX-License-Identifier: Apache-2.0
"""The profile of a trial: instructions of the measured phase by function and by call stack.

Counts come from accounting/profile.c and are exact. They are kept in a tree for each CPU whose
nodes are functions; what executed in a function itself is the node's own. Interrupts stand for
themselves: what a CPU was at when one arrived has nothing to do with it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from orchestrator.analysis import fields
from orchestrator.analysis.instructions import DOMAINS, Instructions
from orchestrator.analysis.symbols import Function, KernelSymbols, ProgramSymbols

USER = DOMAINS.index("user")
LINUX = DOMAINS.index("kernel")
RING0 = DOMAINS.index("ring0")
HIGH = 1 << 63
_INTERRUPT = re.compile(r"asm_(common_interrupt|sysvec_\w+|exc_nmi)")
# Linux's entry code moves its own return address, so that its frame seems to be there twice.
_ENTRY = re.compile(r"asm_\w+")

_COUNTED = ("machine", "cpu", "domain", "function", "object", "self", "total")
COLUMNS = (*_COUNTED, "self_per_request", "total_per_request")


@dataclass(frozen=True, slots=True)
class Frame:
    """A function as a call stack has it. domain: an index into DOMAINS."""

    function: Function
    domain: int


@dataclass(slots=True)
class Tree:
    """Frames that were called in a frame; own: instructions by CPU, of the frame itself."""

    children: dict[Frame, "Tree"] = field(default_factory=dict)
    own: Counter[int] = field(default_factory=Counter)

    def below(self, frame: Frame) -> "Tree":
        return self.children.setdefault(frame, Tree())

    def total(self, cpus: Sequence[int]) -> int:
        """Instructions of these CPUs, in all that hangs here."""
        return sum(count for tree in self._all() for cpu, count in tree.own.items() if cpu in cpus)

    def _all(self) -> Iterator["Tree"]:
        waiting = [self]
        while waiting:
            tree = waiting.pop()
            yield tree
            waiting += tree.children.values()

    def stacks(self) -> Iterator[tuple[tuple[Frame, ...], Counter[int]]]:
        """Every call stack in which something was executed, outermost frame first."""
        waiting: list[tuple[tuple[Frame, ...], Tree]] = [((), self)]
        while waiting:
            above, tree = waiting.pop()
            if tree.own:
                yield above, tree.own
            waiting += [((*above, frame), one) for frame, one in tree.children.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """machines: the CPUs of each. requests: answered in the measured phase. idle: instructions of a
    CPU in turns of its loop that found nothing to do; no place of the tree has them. polling: the
    machines whose CPUs never rest and mark no turns, so that what they executed says nothing of a
    request."""

    tree: Tree
    machines: Mapping[str, tuple[int, ...]]
    requests: int
    idle: Mapping[int, int] = field(default_factory=dict)
    polling: frozenset[str] = frozenset()

    def idled(self, machine: str) -> int:
        """Instructions of a machine's idle turns."""
        return sum(self.idle.get(cpu, 0) for cpu in self.machines[machine])

    def divisor(self, machine: str) -> int:
        """The requests that a machine's instructions are shown by; 0 when there is no such."""
        return 0 if machine in self.polling else self.requests

    def table(self) -> pd.DataFrame:
        """Each function of each CPU, the ones that executed most first. COLUMNS are its columns;
        `total` counts what a function called, too, and a recursive one once. What does not exist
        per request is NaN."""
        own: Counter[tuple[int, Frame]] = Counter()
        total: Counter[tuple[int, Frame]] = Counter()
        for frames, counts in self.tree.stacks():
            for cpu, count in counts.items():
                own[cpu, frames[-1]] += count
                for frame in set(frames):
                    total[cpu, frame] += count
        owner = {cpu: name for name, cpus in self.machines.items() for cpu in cpus}
        rows = [
            (
                *(owner[cpu], cpu, DOMAINS[frame.domain]),
                *(frame.function.name, frame.function.object, own[cpu, frame], count),
            )
            for (cpu, frame), count in total.items()
        ]
        table = self._per_request(pd.DataFrame(rows, columns=list(_COUNTED)))
        keys = ["self", "total", "machine", "cpu", "domain", "function", "object"]
        down = [False, False, *[True] * 5]
        return table.sort_values(keys, ascending=down, ignore_index=True)

    def by_machine(self) -> pd.DataFrame:
        """The table with the CPUs of each machine together."""
        keys = ["machine", "domain", "function", "object"]
        counted = self.table()[[*keys, "self", "total"]]
        summed = self._per_request(counted.groupby(keys, as_index=False, sort=True).sum())
        order = ["self", "total"]
        return summed.sort_values(order, ascending=False, kind="stable", ignore_index=True)

    def _per_request(self, table: pd.DataFrame) -> pd.DataFrame:
        divisors = table["machine"].map(lambda name: self.divisor(name) or float("nan"))
        divided = {f"{key}_per_request": table[key] / divisors for key in ("self", "total")}
        return table.assign(**divided)

    def of_machine(self, machine: str) -> Iterator[tuple[tuple[Frame, ...], int]]:
        """The call stacks of a machine, with the instructions of all its CPUs, sorted."""
        cpus = self.machines[machine]
        found = [
            (frames, sum(counts[cpu] for cpu in cpus)) for frames, counts in self.tree.stacks()
        ]
        names = [
            (tuple((f.function.name, f.function.object, f.domain) for f in frames), frames, n)
            for frames, n in found
            if n
        ]
        yield from ((frames, count) for _, frames, count in sorted(names, key=lambda one: one[0]))

    def folded(self, machine: str) -> str:
        """A line for each stack, as flame graph tools read them: names with `;` between, count."""
        lines: Counter[str] = Counter()
        for frames, count in self.of_machine(machine):
            lines[";".join(frame.function.name for frame in frames)] += count
        return "".join(f"{names} {count}\n" for names, count in sorted(lines.items()))


def read_profile(
    counts: Path,
    pages: Path,
    kallsyms: str,
    objects: Mapping[str, Path],
    counted: Instructions,
    requests: int,
) -> Profile:
    """Resolve and fold what accounting/profile.c wrote.

    counted: of the same trial, which the sums must equal to the instruction. Raises RawError.
    """
    data = fields.load(counts)
    data.schema(1)
    nodes, cells = data.get("nodes"), data.get("cells")
    bytes_of = pages.read_bytes()
    resolver = _Resolver(
        KernelSymbols(kallsyms),
        ProgramSymbols([bytes_of[at : at + 4096] for at in range(0, len(bytes_of), 4096)], objects),
    )
    resolver.learn_ring0(cells)
    root = Tree()
    places = _fold(nodes, resolver, root)
    for cpu, domain, node, place, count in zip(*[iter(cells)] * 5, strict=True):
        frame = resolver.frame(place, domain)
        _enter(root, places[node], frame).own[cpu] += count
    machines: dict[str, tuple[int, ...]] = {}
    for one in counted.cpus:
        machines[one.machine] = (*machines.get(one.machine, ()), one.number)
    idle = dict(zip(*[iter(data.get("idle"))] * 2, strict=True))
    _check_sums(data, cells, idle, counted)
    polling = frozenset(name for name in machines if not counted.is_told(name))
    return Profile(tree=root, machines=machines, requests=requests, idle=idle, polling=polling)


class _Resolver:
    """Frames of places, each looked up once."""

    def __init__(self, kernel: KernelSymbols, programs: ProgramSymbols) -> None:
        self._kernel = kernel
        self._programs = programs
        self._frames: dict[tuple[int, int], Frame] = {}
        self._ring0: set[int] = set()

    def learn_ring0(self, cells: Sequence[int]) -> None:
        """A place of a call does not tell its domain; its page does, by what executed there."""
        pages: dict[int, set[int]] = defaultdict(set)
        for domain, place in zip(cells[1::5], cells[3::5], strict=True):
            pages[place >> 12].add(domain)
        self._ring0 = {page for page, domains in pages.items() if domains == {RING0}}

    def frame(self, place: int, domain: int | None = None) -> Frame:
        if domain is None:
            domain = LINUX if place >= HIGH else RING0 if place >> 12 in self._ring0 else USER
        found = self._frames.get((place, domain))
        if found is None:
            symbols = self._kernel if domain == LINUX else self._programs
            found = self._frames[place, domain] = Frame(symbols.find(place), domain)
        return found


def _fold(nodes: Sequence[int], resolver: _Resolver, root: Tree) -> list[Tree]:
    """The tree's place for each of the plugin's nodes; the first is none."""
    places, frames = [root], [Frame(Function("", ""), LINUX)]
    for parent, place in zip(*[iter(nodes)] * 2, strict=True):
        frame = resolver.frame(place)
        places.append(_enter(root, places[parent], frame, frames[parent]))
        frames.append(frame)
    return places


def _enter(root: Tree, above: Tree, frame: Frame, caller: Frame | None = None) -> Tree:
    name = frame.function.name
    if frame.domain == LINUX and _ENTRY.fullmatch(name):
        if _INTERRUPT.fullmatch(name):
            return root.below(frame)
        if frame == caller:
            return above
    return above.below(frame)


def _check_sums(
    data: fields.Fields, cells: Sequence[int], idle: Mapping[int, int], counted: Instructions
) -> None:
    sums: Counter[tuple[int, int]] = Counter()
    for cpu, domain, count in zip(cells[0::5], cells[1::5], cells[4::5], strict=True):
        sums[cpu, domain] += count
    for one in counted.cpus:
        if idle.get(one.number, 0) != one.idle:
            raise data.error(
                "idle",
                f"CPU {one.number} has {idle.get(one.number, 0)} instructions in idle turns, "
                f"but it executed {one.idle}",
            )
        for number, name in enumerate(DOMAINS):
            if sums[one.number, number] != one.busy(name):
                raise data.error(
                    "cells",
                    f"CPU {one.number} has {sums[one.number, number]} instructions in {name}, "
                    f"but it executed {one.busy(name)}",
                )
