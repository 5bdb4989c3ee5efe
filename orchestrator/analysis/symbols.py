# SPDX-License-Identifier: Apache-2.0
"""From an address to a function: Linux's by /proc/kallsyms, programs' by their ELF files.

A function without a name, such as a local one of a stripped library, is still told from its
neighbours: `.eh_frame` says where each begins and ends. What cannot be told at all is UNKNOWN.
"""

import bisect
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from orchestrator.analysis.fields import RawError

logger = logging.getLogger(__name__)

PAGE = 4096
KERNEL = "kernel"
UNKNOWN = "[unknown]"
_CODE = frozenset("tTwW")
# Where Linux's own code begins and ends; a module's does not say.
_TEXTS = (("_stext", "_etext"), ("_sinittext", "_einittext"))
_EDGES = frozenset(chain.from_iterable(_TEXTS))


@dataclass(frozen=True, slots=True, order=True)
class Function:
    """A function by its name and the object that it is in: `kernel`, a module of it such as
    `[igb]`, or a file's name."""

    name: str
    object: str


@dataclass(frozen=True, slots=True)
class _Range:
    begin: int
    end: int
    name: str


class KernelSymbols:
    """Linux's functions. kallsyms: as /proc/kallsyms prints them. Raises RawError."""

    def __init__(self, kallsyms: str) -> None:
        symbols: dict[int, tuple[str, str]] = {}
        edges: dict[str, int] = {}
        for line in kallsyms.splitlines():
            address, kind, name, *module = line.split()
            if name in _EDGES:
                edges[name] = int(address, 16)
            if kind in _CODE:
                # Of several names of an address the first is taken.
                symbols.setdefault(int(address, 16), (name, "".join(module) or KERNEL))
        if missing := sorted(_EDGES - set(edges)):
            raise RawError(f"kallsyms: has no {missing[0]}")
        texts = [(edges[first], edges[last]) for first, last in _TEXTS]
        self._ranges = list(_kernel_ranges(symbols, texts))
        self._begins = [one.begin for one, _ in self._ranges]

    def find(self, address: int) -> Function:
        at = bisect.bisect_right(self._begins, address) - 1
        if at >= 0:
            found, where = self._ranges[at]
            if address < found.end:
                return Function(found.name, where)
        return Function(UNKNOWN, UNKNOWN)


def _kernel_ranges(
    symbols: Mapping[int, tuple[str, str]], texts: Sequence[tuple[int, int]]
) -> Iterator[tuple[_Range, str]]:
    """Functions and their objects, sorted. Each reaches to the next one, but not out of the text
    that it is in: beyond may be code that has no name, such as a compiled BPF program's.

    symbols: name and object by address. texts: where those of Linux itself begin and end.
    """
    ordered = sorted(symbols)
    for begin, following in zip_longest(ordered, ordered[1:], fillvalue=1 << 64):
        name, where = symbols[begin]
        end = following
        if where == KERNEL:
            end = min(end, next((last for first, last in texts if first <= begin < last), 0))
        elif following not in symbols or symbols[following][1] != where:
            # Where a module's text ends is not told, but Linux leaves a page free behind it.
            end = min(end, (begin // PAGE + 2) * PAGE)
        if begin < end:
            yield _Range(begin, end, name), where


class Object:
    """An ELF file that a program may have mapped. name: where it is in the guest."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = PurePosixPath(name).name
        self._segments: list[tuple[int, int, int]] = []
        self._ranges: list[_Range] = []
        with path.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                head = segment.header
                self._segments.append((head.p_offset, head.p_filesz, head.p_vaddr))
            named = {one.begin: one for one in reversed(list(_symbols(elf)))}
            unnamed = [one for one in _frames(elf, self.name) if one.begin not in named]
        self._ranges = sorted((*named.values(), *unnamed), key=lambda one: one.begin)
        self._begins = [one.begin for one in self._ranges]

    def find(self, offset: int) -> Function:
        """The function at an offset in the file."""
        for begin, size, address in self._segments:
            if begin <= offset < begin + size:
                return Function(self._name(address + offset - begin), self.name)
        return Function(UNKNOWN, self.name)

    def address(self, offset: int) -> int | None:
        """Where an offset in the file is in memory, from the object's beginning."""
        for begin, size, address in self._segments:
            if begin <= offset < begin + size:
                return address + offset - begin
        return None

    def _name(self, address: int) -> str:
        at = bisect.bisect_right(self._begins, address)
        # A function may lie inside of another's range: the innermost is the nearest before.
        for one in reversed(self._ranges[max(0, at - 4) : at]):
            if one.begin <= address < one.end:
                return one.name
        return UNKNOWN


def _symbols(elf: ELFFile) -> Iterator[_Range]:
    """The functions that have names and sizes; of several names of one, the best comes first."""
    found = []
    for section in elf.iter_sections():
        if not isinstance(section, SymbolTableSection):
            continue
        for symbol in section.iter_symbols():
            info = symbol.entry.st_info
            is_function = info.type in ("STT_FUNC", "STT_GNU_IFUNC", "STT_LOOS")
            begin, size = symbol.entry.st_value, symbol.entry.st_size
            if is_function and size and symbol.entry.st_shndx != "SHN_UNDEF":
                # Plain names rather than those that a library keeps for itself.
                rank = (len(symbol.name) - len(symbol.name.lstrip("_")), info.bind != "STB_GLOBAL")
                found.append((rank, symbol.name, _Range(begin, begin + size, symbol.name)))
    yield from (one for _, _, one in sorted(found, key=lambda one: one[:2]))


def _frames(elf: ELFFile, name: str) -> Iterator[_Range]:
    """The functions of which nothing but their extent is known."""
    if elf.get_section_by_name(".eh_frame") is None:
        return
    try:
        # pyelftools reads .eh_frame as a part of what debuggers read; there need be nothing else.
        entries = elf.get_dwarf_info(relocate_dwarf_sections=False).EH_CFI_entries()
        for entry in entries:
            if isinstance(entry, FDE):
                begin = entry.header["initial_location"]
                end = begin + entry.header["address_range"]
                yield _Range(begin, end, f"{name}+{begin:#x}")
    except (DWARFError, ELFError) as error:
        logger.info("%s: .eh_frame cannot be read: %s", name, error)


class ProgramSymbols:
    """Functions of programs, by the pages of code that were executed and an offset into them.

    pages: the pages' bytes. objects: the ELF files they may be from, by name.
    """

    def __init__(self, pages: Sequence[bytes], objects: Mapping[str, Path]) -> None:
        wanted: dict[bytes, list[int]] = {}
        for number, page in enumerate(pages):
            wanted.setdefault(page, []).append(number)
        candidates: dict[int, list[tuple[str, int]]] = {}
        for name, path in objects.items():
            data = path.read_bytes()
            if not data.startswith(b"\x7fELF"):
                continue
            for offset in range(0, len(data), PAGE):
                page = data[offset : offset + PAGE].ljust(PAGE, b"\0")
                for number in wanted.get(page, ()):
                    candidates.setdefault(number, []).append((name, offset))
        # The same page in two files is from the one of which more was executed.
        votes = Counter(name for found in candidates.values() for name, _ in found)
        self._places = {
            number: max(found, key=lambda one: (votes[one[0]], one))
            for number, found in candidates.items()
        }
        used = {name for name, _ in self._places.values()}
        self._objects = {name: Object(name, objects[name]) for name in sorted(used)}

    def find(self, place: int) -> Function:
        """place: number of the page, times its size, plus the offset into it."""
        number, offset = divmod(place, PAGE)
        if number not in self._places:
            return Function(UNKNOWN, UNKNOWN)
        name, begin = self._places[number]
        return self._objects[name].find(begin + offset)

    def locate(self, place: int) -> tuple[str, int] | None:
        """The object of a place, by its name in `objects`, and the address in it; None: it is in
        none of them."""
        number, offset = divmod(place, PAGE)
        if number not in self._places:
            return None
        name, begin = self._places[number]
        address = self._objects[name].address(begin + offset)
        return None if address is None else (name, address)
