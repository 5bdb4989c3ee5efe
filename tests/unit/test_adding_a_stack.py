# SPDX-License-Identifier: Apache-2.0
"""What docs/adding-a-stack.md prints works: its driver is loaded, its experiment is planned."""

import re
import sys
import types
from pathlib import Path

import pytest

from orchestrator import paths, stacks
from orchestrator.host.cbuild import PROGRAMS
from orchestrator.run import compose
from orchestrator.run.plan import Plan, make_plan
from orchestrator.spec import load_experiment
from orchestrator.stacks.base import BIN
from orchestrator.steps.model import Collect, Start

PAGE = paths.project("docs", "adding-a-stack.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


@pytest.fixture(autouse=True)
def drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's driver as one of the package, listed as the page lists it."""
    driver, listed = blocks("python")
    module = types.ModuleType("orchestrator.stacks.mystack")
    exec(driver, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    package = dict(vars(stacks))
    exec(listed, package)
    assert set(package["DRIVERS"]) == {*stacks.DRIVERS, "mystack"}
    monkeypatch.setattr(compose, "DRIVERS", package["DRIVERS"])


def plan(folder: Path, *overrides: str) -> Plan:
    (text,) = blocks("yaml")
    file = folder / "experiment.yml"
    file.write_text(text, encoding="utf-8")
    return make_plan(load_experiment(file, overrides), compose.Drivers(), inputs={})


@pytest.mark.parametrize(("clock", "cpus"), [("wall", "0,1"), ("virtual", "2,3")])
def test_every_trial_has_its_steps_on_both_clocks(tmp_path: Path, clock: str, cpus: str) -> None:
    made = plan(tmp_path, f"clock={clock}")
    trials = [trial for trial in made.trials if trial.variant == "my-variant"]
    assert len(trials) >= 2
    for trial in trials:
        script = compose.script(trial, made.topology(trial.topology))
        (start,) = [step for step in script.setup if isinstance(step, Start)]
        assert start.argv[0].removeprefix(f"{BIN}/") in PROGRAMS
        assert f"--cpus={cpus}" in start.argv
        assert all(step.optional for step in script.teardown if isinstance(step, Collect))


def test_a_stack_that_counts_nothing_has_no_accounting_trial(tmp_path: Path) -> None:
    counted = [trial.variant for trial in plan(tmp_path).trials if trial.kind == "accounting"]
    assert counted == ["linux"]


def test_what_the_commands_name_is_in_the_experiment(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert f"./ringbed run {made.experiment} --only my-variant" in PAGE
    assert "*experiments/my-experiment*" in PAGE


def test_the_lines_for_a_program_of_ones_own_fit_the_files_they_go_into() -> None:
    (line,) = blocks("meson")
    ours = paths.project("dataplane", "apps", "meson.build").read_text(encoding="utf-8")
    assert line.replace("my_echo", "rb_echo").replace("my-echo", "rb-echo").replace(
        "rb_echo.c", "echo.c"
    ) in ours.splitlines(keepends=True)
    (programs,) = blocks("text")
    assert eval(programs.partition("=")[2]) == (*PROGRAMS, "my-echo")
