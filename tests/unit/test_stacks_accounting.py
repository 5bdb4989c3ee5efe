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


def test_the_summary_lies_beside_the_raw_tables(tmp_path: Path) -> None:
    (tmp_path / "syscalls.txt").write_text(SYSCALLS)
    (tmp_path / "napi.txt").write_text(NAPI)
    (tmp_path / "threads.txt").write_text("413\n414\n")
    accounting.summarize(tmp_path, "link0", 20)
    assert json.loads((tmp_path / "syscalls.json").read_text()) == {
        "by_syscall": {"epoll_wait": 17, "read": 41, "unknown_syscall": 1},
        "total": 59,
        "requests": 20,
    }
    napi = json.loads((tmp_path / "napi.json").read_text())
    assert (napi["polls"], napi["packets"]) == (19, 40)


@pytest.mark.parametrize("full", ["syscalls.txt", "napi.txt"])
def test_counts_that_the_kernel_dropped_fail_the_trial(tmp_path: Path, full: str) -> None:
    tables = {"syscalls.txt": SYSCALLS, "napi.txt": NAPI + "    Dropped: 0\n"}
    tables[full] = tables[full].replace("Dropped: 0", "Dropped: 3")
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "threads.txt").write_text("413\n414\n")
    with pytest.raises(StepError, match=f"{full}.*dropped 3"):
        accounting.summarize(tmp_path, "link0", 20)
    assert not (tmp_path / "syscalls.json").exists()
