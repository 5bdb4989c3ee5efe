# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

from orchestrator.errors import StepError
from orchestrator.stacks import accounting

SYSCALLS = """\
# event histogram
#
# trigger info: hist:keys=common_pid,id.syscall:vals=hitcount:sort=hitcount:size=4096 [paused]
#

{ common_pid:        412, id: sys_write                     [  1] } hitcount:          3
{ common_pid:        413, id: sys_epoll_wait                [232] } hitcount:         17
{ common_pid:        413, id: sys_read                      [  0] } hitcount:         21
{ common_pid:        414, id: sys_read                      [  0] } hitcount:         20
{ common_pid:        414, id: unknown_syscall               [999] } hitcount:          1

Totals:
    Hits: 62
    Entries: 5
    Dropped: 0
"""

SEGMENTS = """\
# event histogram
{ sport:       7000, dport:      49152, common_cpu:          1 } hitcount:         30
{ sport:       7000, dport:      49153, common_cpu:          1 } hitcount:         10
{ sport:       7000, dport:      49153, common_cpu:          2 } hitcount:         30
"""

READS = """\
{ sport:       7000, dport:      49152, common_cpu:          1 } hitcount:         12
{ sport:       7000, dport:      49153, common_cpu:          1 } hitcount:          8
"""

NAPI = """\
# event histogram
{ dev_name: link0                            , napi: ffff8881013a9010 } \
hitcount:          9  work:         31  budget:        576
{ dev_name: link0                            , napi: ffff8881013aa010 } \
hitcount:         10  work:          9  budget:        640
{ dev_name: mgmt, napi: ffff888101300010 } hitcount:         99  work:         99  budget: 99

Totals:
"""


def test_only_the_threads_of_the_server_count() -> None:
    calls = accounting.parse_syscalls(SYSCALLS, frozenset({413, 414}))
    assert calls == {"epoll_wait": 17, "read": 41, "unknown_syscall": 1}


def test_only_the_queues_of_the_data_interface_count() -> None:
    assert accounting.parse_napi(NAPI, "link0") == [(9, 31), (10, 9)]


def write_tables(directory: Path, **changed: str) -> None:
    tables = {"syscalls": SYSCALLS, "napi": NAPI, "segments": SEGMENTS, "reads": READS}
    for name, text in {**tables, "threads": "413\n414\n", **changed}.items():
        (directory / f"{name}.txt").write_text(text)


def test_reads_are_local_by_where_their_segments_came_in() -> None:
    segments, reads = accounting.parse_tcp(SEGMENTS), accounting.parse_tcp(READS)
    assert segments == {49152: {1: 30}, 49153: {1: 10, 2: 30}}
    # A quarter of the second connection's segments came where it was read.
    assert accounting.local_reads(segments, reads) == 12 + 8 / 4
    assert accounting.local_reads({}, reads) == 0


def test_a_nic_that_was_taken_from_linux_has_no_counts(tmp_path: Path) -> None:
    write_tables(tmp_path)
    accounting.summarize(tmp_path, "", 20)
    assert {path.name for path in tmp_path.glob("*.json")} == {"syscalls.json"}


def test_datagrams_have_no_locality(tmp_path: Path) -> None:
    write_tables(tmp_path, segments="", reads="")
    accounting.summarize(tmp_path, "link0", 20)
    assert not (tmp_path / "locality.json").exists()


def test_the_summary_lies_beside_the_raw_tables(tmp_path: Path) -> None:
    write_tables(tmp_path)
    accounting.summarize(tmp_path, "link0", 20)
    assert json.loads((tmp_path / "syscalls.json").read_text()) == {
        "by_syscall": {"epoll_wait": 17, "read": 41, "unknown_syscall": 1},
        "total": 59,
        "requests": 20,
    }
    napi = json.loads((tmp_path / "napi.json").read_text())
    assert (napi["polls"], napi["packets"]) == (19, 40)
    locality = json.loads((tmp_path / "locality.json").read_text())
    assert locality == {"reads": 20, "local": 14.0, "dropped": 0}


def test_more_connections_than_the_kernel_has_room_for_are_told(tmp_path: Path) -> None:
    write_tables(tmp_path, reads=f"{READS}\nTotals:\n    Dropped: 3\n")
    accounting.summarize(tmp_path, "link0", 20)
    assert json.loads((tmp_path / "locality.json").read_text())["dropped"] == 3
    assert (tmp_path / "syscalls.json").exists()


@pytest.mark.parametrize("full", ["syscalls", "napi"])
def test_counts_that_the_kernel_dropped_fail_the_trial(tmp_path: Path, full: str) -> None:
    write_tables(tmp_path, **{full: "Totals:\n    Dropped: 3\n"})
    with pytest.raises(StepError, match=rf"{full}\.txt.*dropped 3"):
        accounting.summarize(tmp_path, "link0", 20)
    assert not (tmp_path / "syscalls.json").exists()
