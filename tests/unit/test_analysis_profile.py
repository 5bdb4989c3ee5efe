# SPDX-License-Identifier: Apache-2.0
"""Profiles: from the plugin's counts to functions and call stacks."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from orchestrator.analysis.fields import RawError
from orchestrator.analysis.instructions import Cpu, Instructions
from orchestrator.analysis.profile import Profile, read_profile
from orchestrator.analysis.symbols import (
    KERNEL,
    PAGE,
    UNKNOWN,
    Function,
    KernelSymbols,
    Object,
    ProgramSymbols,
)

LIBC = Path("/usr/lib/x86_64-linux-gnu/libc.so.6")
KALLSYMS = """\
0000000000001000 A current_task
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 T entry_SYSCALL_64
ffffffff81000200 T tcp_sendmsg
ffffffff81000200 t tcp_alias
ffffffff81000300 T asm_common_interrupt
ffffffff81000400 t common_interrupt
ffffffff81000500 T asm_exc_page_fault
ffffffff81100000 T _etext
ffffffff82000000 D jiffies
ffffffff83000000 T _sinittext
ffffffff83000000 t set_reset_devices
ffffffff83001000 T _einittext
ffffffffc0000000 t igb_poll\t[igb]
ffffffffc0004000 t igb_exit\t[igb]
ffffffffc0008000 d igb_table\t[igb]
ffffffffc0009800 t probe\t[uio_pci_generic]
ffffffffc000a040 t bpf_prog_1\t[bpf]
"""
ENTRY, SEND, INTERRUPT, HANDLER, FAULT = (0xFFFFFFFF81000100 + 0x100 * n for n in range(5))
POLL = 0xFFFFFFFFC0000000
USER, LINUX, RING0 = range(3)


def test_linux_functions_are_found_with_their_module() -> None:
    symbols = KernelSymbols(KALLSYMS)
    assert symbols.find(SEND) == symbols.find(SEND + 0xFF) == Function("tcp_sendmsg", KERNEL)
    assert symbols.find(POLL + 8) == Function("igb_poll", "[igb]")


def test_no_function_is_made_up_for_what_is_none() -> None:
    symbols = KernelSymbols(KALLSYMS)
    nothing = Function(UNKNOWN, UNKNOWN)
    assert symbols.find(0xFFFFFFFF82000010) == nothing
    assert symbols.find(POLL + 0x8008) == nothing
    assert symbols.find(0xFFFFFFFF80000000) == nothing
    assert ProgramSymbols([b"\1" * PAGE], {}).find(8) == Function(UNKNOWN, UNKNOWN)


def test_linux_functions_end_with_the_text_they_are_in() -> None:
    symbols = KernelSymbols(KALLSYMS)
    nothing = Function(UNKNOWN, UNKNOWN)
    assert symbols.find(0xFFFFFFFF810FFFFF) == Function("asm_exc_page_fault", KERNEL)
    assert symbols.find(0xFFFFFFFF81100000) == nothing
    assert symbols.find(0xFFFFFFFF83000FFF).name in ("_sinittext", "set_reset_devices")
    assert symbols.find(0xFFFFFFFF83001000) == nothing
    # A module's last function may reach into the next page; behind that lies what has no name.
    assert symbols.find(POLL + 0x3FFF) == Function("igb_poll", "[igb]")
    assert symbols.find(POLL + 0x5FFF) == Function("igb_exit", "[igb]")
    assert symbols.find(POLL + 0x6000) == nothing
    assert symbols.find(POLL + 0xA03F) == Function("probe", "[uio_pci_generic]")
    assert symbols.find(POLL + 0xA040) == Function("bpf_prog_1", "[bpf]")
    assert symbols.find(POLL + 0xC000) == nothing
    assert symbols.find(0x1008) == nothing


def test_symbols_without_an_end_are_refused() -> None:
    with pytest.raises(RawError, match="kallsyms: has no _etext"):
        KernelSymbols(KALLSYMS.replace("T _etext", "T another"))


@pytest.fixture(scope="module")
def libc() -> dict[str, int]:
    """Functions of a stripped library, and where they are in its file."""
    found = {}
    with LIBC.open("rb") as file:
        elf = ELFFile(file)
        names, text = elf.get_section_by_name(".dynsym"), elf.get_section_by_name(".text")
        assert isinstance(names, SymbolTableSection) and text is not None
        for symbol in names.iter_symbols():
            if symbol.name in ("malloc", "qsort", "epoll_wait"):
                (offset,) = elf.address_offsets(symbol.entry.st_value)
                found[symbol.name] = offset
        begin = text.header.sh_offset
        found["[text]"], found["[end]"] = begin, begin + text.header.sh_size
    return found


def test_functions_of_programs_are_found_by_pages_of_their_files(libc: dict[str, int]) -> None:
    data = LIBC.read_bytes()
    offset = libc["qsort"]
    page = data[offset - offset % PAGE :][:PAGE]
    symbols = ProgramSymbols([b"\2" * PAGE, page], {"/usr/lib/libc.so.6": LIBC})
    assert symbols.find(PAGE + offset % PAGE) == Function("qsort", "libc.so.6")
    assert symbols.find(offset % PAGE) == Function(UNKNOWN, UNKNOWN)


def test_functions_without_a_name_are_told_apart(libc: dict[str, int]) -> None:
    found = Object("libc.so.6", LIBC)
    assert found.find(libc["malloc"]).name in ("malloc", "__libc_malloc")
    assert found.find(libc["epoll_wait"]).name == "epoll_wait"
    everywhere = [
        found.find(offset).name for offset in range(libc["[text]"], libc["[end]"], PAGE // 4)
    ]
    assert everywhere.count(UNKNOWN) < len(everywhere) / 20
    unnamed = {name for name in everywhere if name.startswith("libc.so.6+0x")}
    assert len(unnamed) > 100


def make(
    tmp_path: Path,
    nodes: Sequence[tuple[int, int]],
    cells: Sequence[tuple[int, int, int, int, int]],
    measured: dict[str, int],
    *,
    polls: bool = False,
    turns: int = 0,
    idle: Sequence[int] = (0, 0),
) -> Profile:
    """A profile of one CPU. nodes: parent, place. cells: CPU, domain, node, place, count. idle: in
    idle turns, as the profile has it and as was counted."""
    counts, pages = tmp_path / "counts.json", tmp_path / "pages"
    flat = {"schema": 1, "nodes": sum(nodes, ()), "cells": sum(cells, ()), "idle": [1, idle[0]]}
    counts.write_text(json.dumps(flat))
    pages.write_bytes(b"\3" * PAGE)
    cpu = Cpu(number=1, machine="server", measured=measured, polls=polls, turns=turns, idle=idle[1])
    counted = Instructions(cpus=(cpu,))
    return read_profile(counts, pages, KALLSYMS, {}, counted, 10)


def test_call_stacks_are_folded_by_function(tmp_path: Path) -> None:
    nodes = [(0, 8), (1, ENTRY + 4), (1, ENTRY + 9)]
    cells = [
        (1, USER, 0, 16, 5),
        (1, LINUX, 2, SEND, 100),
        (1, LINUX, 3, SEND + 32, 20),
        (1, LINUX, 1, ENTRY, 7),
    ]
    found = make(tmp_path, nodes, cells, {"user": 5, "kernel": 127, "ring0": 0})
    # Two calls from one function are one, and so are two places in one.
    assert found.folded("server") == (
        f"{UNKNOWN} 5\n{UNKNOWN};entry_SYSCALL_64 7\n{UNKNOWN};entry_SYSCALL_64;tcp_sendmsg 120\n"
    )
    table = found.by_machine().set_index("function")
    assert table["self"].to_dict() == {"tcp_sendmsg": 120, "entry_SYSCALL_64": 7, UNKNOWN: 5}
    assert table["total"].to_dict() == {"tcp_sendmsg": 120, "entry_SYSCALL_64": 127, UNKNOWN: 132}
    assert table["total_per_request"]["tcp_sendmsg"] == 12


def test_what_calls_itself_is_counted_once(tmp_path: Path) -> None:
    nodes = [(0, SEND), (1, SEND), (2, SEND)]
    cells = [(1, LINUX, 3, SEND, 10), (1, LINUX, 1, SEND, 1)]
    found = make(tmp_path, nodes, cells, {"user": 0, "kernel": 11, "ring0": 0})
    (row,) = found.table().to_dict(orient="records")
    assert (row["self"], row["total"]) == (11, 11)
    assert found.folded("server").splitlines()[1].startswith(";".join(["tcp_sendmsg"] * 4))


def test_an_interrupt_stands_for_itself_and_a_fault_does_not(tmp_path: Path) -> None:
    # Linux's entry code pushes its own return address twice.
    nodes = [(0, SEND), (1, INTERRUPT), (2, INTERRUPT), (1, FAULT), (4, FAULT)]
    cells = [(1, LINUX, 3, HANDLER, 10), (1, LINUX, 5, HANDLER, 1)]
    found = make(tmp_path, nodes, cells, {"user": 0, "kernel": 11, "ring0": 0})
    assert found.folded("server") == (
        "asm_common_interrupt;common_interrupt 10\n"
        "tcp_sendmsg;asm_exc_page_fault;common_interrupt 1\n"
    )


def test_ring_0_of_a_guest_of_the_guest_is_not_linux(tmp_path: Path) -> None:
    cells = [(1, RING0, 1, 64, 3), (1, LINUX, 0, SEND, 4)]
    found = make(tmp_path, [(0, 32)], cells, {"user": 0, "kernel": 4, "ring0": 3})
    domains = found.table().groupby("domain")["self"].sum().to_dict()
    assert domains == {"ring0": 3, "kernel": 4}
    assert set(found.table()["domain"]) == {"ring0", "kernel"}


def test_sums_must_be_those_of_the_trial(tmp_path: Path) -> None:
    cells = [(1, LINUX, 0, SEND, 4)]
    with pytest.raises(RawError, match="CPU 1 has 4 instructions in kernel, but it executed 5"):
        make(tmp_path, [], cells, {"user": 0, "kernel": 5, "ring0": 0})


def test_what_a_polling_machine_executes_is_not_divided_by_requests(tmp_path: Path) -> None:
    cells = [(1, LINUX, 0, SEND, 40)]
    measured = {"user": 0, "kernel": 40, "ring0": 0}
    resting = make(tmp_path, [], cells, measured)
    assert list(resting.by_machine()["self_per_request"]) == [4]
    polling = make(tmp_path, [], cells, measured, polls=True)
    assert (polling.divisor("server"), resting.divisor("server")) == (0, 10)
    for table in (polling.table(), polling.by_machine()):
        assert list(table["self"]) == [40]
        # A sum over nothing would be zero.
        assert table[["self_per_request", "total_per_request"]].isna().all(axis=None)


def test_idle_turns_are_no_part_of_a_request(tmp_path: Path) -> None:
    cells = [(1, USER, 0, 16, 30), (1, LINUX, 0, SEND, 4)]
    measured = {"user": 100, "kernel": 4, "ring0": 0}
    found = make(tmp_path, [], cells, measured, polls=True, turns=9, idle=(70, 70))
    assert (found.divisor("server"), found.idled("server")) == (10, 70)
    assert found.by_machine()["self"].sum() == 34
    with pytest.raises(RawError, match="CPU 1 has 60 instructions in idle turns"):
        make(tmp_path, [], cells, measured, polls=True, turns=9, idle=(60, 70))
    with pytest.raises(RawError, match="CPU 1 has 30 instructions in user, but it executed 40"):
        make(tmp_path, [], cells, measured, polls=True, turns=9, idle=(60, 60))
