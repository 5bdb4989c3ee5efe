# SPDX-License-Identifier: Apache-2.0
"""Which clock an experiment has, and what differs on the virtual one."""

from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.spec.loading import is_clock_open

TEXT = """\
schema: 1
name: trial
title: A trial
machines:
  client: {}
  server: {}
links:
  - ends: [{machine: client}, {machine: server}]
variants:
  one: {stack: linux, app: echo}
duration: 1s
virtual:
  duration: 50ms
  matrix.load: [7000]
  workload.connections: 3
matrix:
  load: [500]
"""


def written(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "x.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_open_choice_follows_the_host(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert load_experiment(path).clock == "wall"
    assert load_experiment(path, clock="virtual").clock == "virtual"
    assert load_experiment(path, ("clock=wall",), clock="virtual").clock == "wall"
    assert load_experiment(path, ("clock=virtual",)).clock == "virtual"


def test_a_choice_is_open_until_somebody_makes_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert is_clock_open(path)
    assert not is_clock_open(path, ("clock=virtual",))
    assert not is_clock_open(written(tmp_path, TEXT + "clock: wall\n"))


def test_only_the_virtual_clock_has_the_changes(tmp_path: Path) -> None:
    path = written(tmp_path)
    wall, virtual = load_experiment(path), load_experiment(path, clock="virtual")
    assert (wall.duration_ns, virtual.duration_ns) == (1_000_000_000, 50_000_000)
    assert (wall.workload.connections, virtual.workload.connections) != (3, 1)
    assert virtual.workload.connections == 3
    assert virtual.matrix["load"] == (7000.0,)


def test_what_the_user_sets_wins(tmp_path: Path) -> None:
    found = load_experiment(written(tmp_path), ("duration=2s",), clock="virtual")
    assert found.duration_ns == 2_000_000_000
    assert found.workload.connections == 3


@pytest.mark.parametrize("clock", ["wall", "virtual"])
@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("  duraton: 50ms", "unknown key"),
        ("  clock: wall", "cannot differ on the virtual clock"),
    ],
)
def test_a_wrong_key_is_told_on_both_clocks(
    tmp_path: Path, line: str, fault: str, clock: str
) -> None:
    text = TEXT.replace("  duration: 50ms", line)
    with pytest.raises(SpecError, match=fault) as caught:
        load_experiment(written(tmp_path, text), clock="virtual" if clock == "virtual" else "wall")
    assert caught.value.line == 13


def test_a_wrong_value_is_told_where_it_stands(tmp_path: Path) -> None:
    text = TEXT.replace("  duration: 50ms", "  duration: 50 furlongs")
    with pytest.raises(SpecError) as caught:
        load_experiment(written(tmp_path, text), clock="virtual")
    assert caught.value.line == 13


@pytest.mark.parametrize("name", ["connections", "message-size", "quickstart", "service-times"])
def test_experiments_of_ringbed_run_with_either_clock(name: str) -> None:
    path = find_experiment(name)
    assert load_experiment(path, ("clock=wall",)).clock == "wall"
    assert load_experiment(path, ("clock=virtual",)).clock == "virtual"


@pytest.mark.parametrize(
    "more", ["guest: {kernel_args: quiet idle=poll}", "  guest.kernel_args: [quiet, idle=poll]"]
)
def test_polling_while_idle_is_refused_on_the_virtual_clock(tmp_path: Path, more: str) -> None:
    path = written(tmp_path, f"{TEXT}{more}\n")
    load_experiment(path, ("clock=wall",))
    with pytest.raises(SpecError, match="idle=poll cannot be measured"):
        load_experiment(path, ("clock=virtual",))
