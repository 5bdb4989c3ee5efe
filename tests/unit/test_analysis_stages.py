# SPDX-License-Identifier: Apache-2.0
"""Instructions of a dataplane's core by stage: from places to functions, and to their callers."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from orchestrator import paths
from orchestrator.analysis.stages import (
    APPLICATION,
    CROSSING,
    DRIVER_IN,
    DRIVER_OUT,
    IP_IN,
    LINUX_STAGE,
    LOOP,
    STAGES,
    TCP_IN,
    TCP_OUT,
    TIMERS,
    UNTOLD,
    Breakdown,
    Stage,
    breakdown,
    stage_of,
)
from orchestrator.analysis.symbols import PAGE
from orchestrator.host.lines import read_chains

LIBC = Path("/usr/lib/x86_64-linux-gnu/libc.so.6")
USER, LINUX = 0, 1
SEND = 0xFFFFFFFF81000200
ANSWER = """\
0x0000000000000010
tcp_probe
/build/net/tcp_ack.c:30 (discriminator 2)
rb_net_input
/build/net/input.c:173
0x0000000000000020
rte_eth_rx_burst
/usr/include/dpdk/rte_ethdev.h:6300
rb_nic_receive
./nic/receive.c:12
0x0000000000000030
??
??:0
"""


def test_the_innermost_function_that_the_table_has_decides() -> None:
    assert (
        stage_of(["base/list.h:list_add", "net/tcp_ack.c:ack", "net/input.c:rb_net_input"])
        is TCP_IN
    )
    assert stage_of(["net/tcp_output_short.c:tcp_reply", "core/command.c:sendv"]) is TCP_OUT
    assert stage_of(["net/tcp_parts.h:tcp_tcb", "net/tcp_output_short.c:reply"]) is TCP_OUT
    assert stage_of(["net/tcp_parts.h:tcp_tcb"]) is None
    assert stage_of(["net/instance.c:rb_net_advance", "core/core.c:core_timers"]) is TIMERS
    assert stage_of(["core/core.c:core_events", "policy/ix.c:run"]) is CROSSING
    assert stage_of(["core/core.c:core_turn_end", "policy/ix.c:run"]) is LOOP
    assert stage_of(["user/dpos.c:dpos_run_io", "apps/echo.c:main"]) is CROSSING
    assert stage_of(["base/wheel.c:rb_wheel_set"]) is None
    assert stage_of([]) is None


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_the_table_names_is_there(stage: Stage) -> None:
    """A file that was renamed would drop out of its stage without a word."""
    root = paths.project("dataplane")
    names = {str(path.relative_to(root)): path for path in root.rglob("*.[ch]")}
    for place in stage.places:
        file, _, function = place.partition(":")
        found = [path for name, path in names.items() if name.startswith(file)]
        assert found, f"no file begins with {file}"
        assert not function or any(f"{function}(" in path.read_text() for path in found)


def test_every_file_of_the_protocols_has_a_stage_or_is_shared() -> None:
    shared = {"checksum", "config", "handle", "instance", "neighbour", "route"}
    root = paths.project("dataplane")
    for path in sorted((root / "net").glob("*.c")):
        told = stage_of([f"net/{path.name}:any"])
        assert (told is None) == (path.stem in shared), path.name


def test_addr2line_is_read_with_inlined_functions() -> None:
    assert dict(read_chains(ANSWER)) == {
        0x10: ("net/tcp_ack.c:tcp_probe", "net/input.c:rb_net_input"),
        0x20: ("nic/receive.c:rb_nic_receive",),
        0x30: (),
    }


def text_of(path: Path) -> tuple[int, int]:
    """Offset and address of a file's code, from the first whole page of it."""
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        assert section is not None
        offset, address = section.header.sh_offset, section.header.sh_addr
    skip = -offset % PAGE
    return offset + skip, address + skip


def write(counts: Path, nodes: Sequence[tuple[int, ...]], cells: Sequence[tuple[int, ...]]) -> None:
    flat = {"nodes": [*chain.from_iterable(nodes)], "cells": [*chain.from_iterable(cells)]}
    counts.write_text(json.dumps({"schema": 1, **flat, "idle": []}))


def test_what_has_no_stage_belongs_to_who_called_it(tmp_path: Path) -> None:
    offset, address = text_of(LIBC)
    data = LIBC.read_bytes()
    # Page 0 is of the program, page 1 of a library that is not known.
    pages, counts = tmp_path / "pages", tmp_path / "counts.json"
    pages.write_bytes(data[offset : offset + PAGE] + b"\3" * PAGE)
    driver, receive, send, list_add, unknown = PAGE + 8, 16, 32, 48, PAGE + 64
    nodes = [(0, receive), (0, send), (1, list_add)]
    cells = [
        (2, USER, 0, receive, 1),
        (2, USER, 1, driver, 10),  # called by the one that receives
        (2, USER, 2, driver, 100),
        (2, USER, 3, unknown, 1000),  # by a list's function that it called
        (2, USER, 0, unknown, 10_000),
        (2, LINUX, 1, SEND, 100_000),
        (1, USER, 0, receive, 7),  # of another CPU
    ]
    write(counts, nodes, cells)
    known = {
        address + receive: ["nic/receive.c:rb_nic_receive"],
        address + send: ["nic/transmit.c:rb_nic_flush"],
        address + list_add: ["base/list.h:list_add"],
    }

    def chains(name: str, wanted: Sequence[int]) -> Mapping[int, Sequence[str]]:
        assert name == "dpos" and set(wanted) <= set(known)
        return {one: known[one] for one in wanted}

    found = breakdown(counts, pages, {"dpos": LIBC}, chains, (2,), 10)
    assert found.instructions == {
        DRIVER_IN: 1011,
        DRIVER_OUT: 100,
        UNTOLD: 10_000,
        LINUX_STAGE: 100_000,
    }
    assert found.per_request(DRIVER_OUT) == 10
    assert found.per_request(IP_IN) == 0
    assert found.total == 11_111.1


def test_an_application_is_one_whatever_its_functions_are(tmp_path: Path) -> None:
    offset, address = text_of(LIBC)
    pages, counts = tmp_path / "pages", tmp_path / "counts.json"
    pages.write_bytes(LIBC.read_bytes()[offset : offset + PAGE])
    cells = [(1, USER, 0, 16, 5), (1, USER, 0, 32, 2)]
    write(counts, [], cells)
    chains = {address + 16: (), address + 32: ("user/context.c:rb_context_run_io",)}
    found = breakdown(counts, pages, {"rb-echo": LIBC}, lambda *_: chains, (1,), 1)
    assert found == Breakdown(instructions={APPLICATION: 5, CROSSING: 2}, requests=1)
