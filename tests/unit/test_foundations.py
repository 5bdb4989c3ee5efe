# SPDX-License-Identifier: Apache-2.0
"""Errors, log, paths, and the direction of dependencies between the packages."""

import ast
import inspect
import json
import logging
from pathlib import Path

import pytest

import orchestrator
from orchestrator import errors, log, paths
from orchestrator.errors import ExitCode, RingbedError, SpecError

LAYERS = [
    "cli",
    "report",
    "analysis",
    "run",
    "stacks workloads",
    "steps",
    "provision",
    "vm",
    "imaging",
    "host",
    "spec",
    "process",
    "errors log paths words",
]
RANK = {name: rank for rank, names in enumerate(reversed(LAYERS)) for name in names.split()}
# Drivers of load say against which server; both are one layer.
SAME_LAYER = {("workloads", "stacks")}


def modules() -> list[Path]:
    return sorted(Path(orchestrator.__file__).parent.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The parts of the package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "orchestrator" and len(parts) > 1 and parts[1] in RANK:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.name))
def test_dependencies_point_down(path: Path) -> None:
    own = path.relative_to(Path(orchestrator.__file__).parent).parts[0].removesuffix(".py")
    if own not in RANK:
        return
    for other in imported(path) - {own}:
        if (own, other) in SAME_LAYER:
            continue
        assert RANK[other] < RANK[own], f"{path} imports {other}, which does not stand below {own}"


def test_every_error_has_an_exit_code_and_stands_in_the_tree() -> None:
    tree = inspect.getdoc(errors) or ""
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, RingbedError):
            assert name in tree
            assert isinstance(kind.exit_code, ExitCode)


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = SpecError("unknown key", file="a.yml", line=3, column=5, key="x", hint="did you mean y")
    assert str(error) == "a.yml:3:5: unknown key\nhint: did you mean y"
    assert error.exit_code == ExitCode.USAGE


def test_steps_nest_and_tell_failure(tmp_path: Path) -> None:
    events: list[log.StepEvent] = []
    with pytest.raises(RuntimeError), log.sink(events.append), log.step("outer"):
        with log.step("inner"):
            pass
        raise RuntimeError
    assert [(e.edge, e.title, e.depth) for e in events] == [
        ("begin", "outer", 0),
        ("begin", "inner", 1),
        ("end", "inner", 1),
        ("fail", "outer", 0),
    ]


def test_json_lines_hold_steps_and_records(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    handler = log.JsonLines(path)
    logger = logging.getLogger("orchestrator.test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    with log.sink(handler.step), log.step("boot"):
        logger.info("hello %s", "guest")
    logger.removeHandler(handler)
    handler.close()
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["edge"], first["step"]) == ("begin", "boot")
    assert (second["message"], second["level"]) == ("hello guest", "info")
    assert third["edge"] == "end"


def test_paths_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RINGBED_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("RINGBED_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("RINGBED_DATA", str(tmp_path / "d"))
    assert paths.cache("trees", "x") == tmp_path / "c" / "trees" / "x"
    assert paths.state("run") == tmp_path / "s" / "run"
    assert paths.data() == tmp_path / "d"
    monkeypatch.delenv("RINGBED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache() == tmp_path / "ringbed"
    assert paths.project("pyproject.toml").is_file()
