# SPDX-License-Identifier: Apache-2.0
"""Differences of two manifests: told once, short, or a reason not to compare."""

import copy
from typing import Any

import pytest

from orchestrator.analysis.conditions import differences
from orchestrator.errors import UsageError

RUN: dict[str, Any] = {
    "clock": "wall",
    "accelerator": {"kind": "tcg"},
    "inputs": {"image": "9f2c1ab4ffff", "dataplane": "ab12cd34"},
    "experiment": {
        "duration": "1s",
        "machines": {"client": {"cpus": 1}, "server": {"cpus": 2}},
        "links": [{"ends": [{"nic": "igb"}, {"nic": "igb"}]}],
        "workload": {"adherence": {"min_on_time": 0.9}},
    },
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    run = copy.deepcopy(RUN)
    place: Any = run
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return run


@pytest.mark.parametrize(
    ("path", "to", "line"),
    [
        (("experiment", "duration"), "2s", "duration: 1s -> 2s"),
        (("experiment", "machines", "server", "cpus"), 4, "machines.server.cpus: 2 -> 4"),
        (
            ("experiment", "links", 0, "ends", 1, "nic"),
            "virtio",
            "links.0.ends.1.nic: igb -> virtio",
        ),
        (("inputs", "image"), "77", "input image: 9f2c1ab4 -> 77"),
        (
            ("experiment", "workload", "adherence", "min_on_time"),
            0.5,
            "adherence.min_on_time: 0.9 -> 0.5",
        ),
    ],
)
def test_each_difference_is_one_line(path: tuple[Any, ...], to: Any, line: str) -> None:
    assert differences(RUN, changed(*path, to=to)) == [line]


def test_the_same_conditions_need_no_line() -> None:
    assert differences(RUN, copy.deepcopy(RUN)) == []


def test_another_accelerator_is_refused_where_it_sets_the_pace() -> None:
    other = changed("accelerator", "kind", to="kvm")
    with pytest.raises(UsageError, match="under tcg and under kvm") as caught:
        differences(RUN, other)
    assert caught.value.hint
    pair = [{**one, "clock": "virtual"} for one in (RUN, other)]
    assert differences(*pair) == ["accelerator: tcg -> kvm"]
