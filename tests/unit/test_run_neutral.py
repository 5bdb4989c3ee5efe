# SPDX-License-Identifier: Apache-2.0
"""Neutral changes are made in copies of the real sources, each another one."""

import re
import shutil
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.errors import InfrastructureError
from orchestrator.host import cbuild
from orchestrator.run import neutral
from orchestrator.run.neutral import Change, Kind


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(paths.project("dataplane"), tmp_path / "dataplane"))


def objects(directory: Path) -> dict[str, list[str]]:
    """What each meson.build names, in its order."""
    return {
        path.parent.name: re.findall(r"'\w+\.c'", path.read_text())
        for path in directory.glob("*/meson.build")
    }


def test_thirty_changes_are_thirty_different_ones(tmp_path: Path) -> None:
    seen = set()
    for place, change in enumerate(neutral.changes(30)):
        copy = Path(shutil.copytree(paths.project("dataplane"), tmp_path / str(place)))
        neutral.apply(change, copy)
        seen.add((cbuild.source_hash(copy, "", "release"), change.environment_bytes))
        shutil.rmtree(copy)
    assert len(seen) == 30
    kinds = [change.kind for change in neutral.changes(30)]
    assert all(kinds.count(kind) == 10 for kind in Kind)


def test_another_order_has_the_same_objects(copy: Path) -> None:
    before = objects(copy)
    neutral.apply(Change(kind=Kind.ORDER, number=1), copy)
    after = objects(copy)
    assert after["user"] != before["user"] and after["tests"] == before["tests"]
    assert {name: sorted(files) for name, files in after.items()} == {
        name: sorted(files) for name, files in before.items()
    }


def test_work_is_added_to_the_echo_server_alone(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*.c")}
    neutral.add_work(copy, 140)
    changed = [path.name for path, text in before.items() if path.read_bytes() != text]
    assert changed == ["echo.c"]
    assert "rounds = 140" in (copy / "apps" / "echo.c").read_text()


def test_sources_that_have_changed_are_an_error(copy: Path) -> None:
    (copy / "apps" / "echo.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(InfrastructureError, match="where a change would go"):
        neutral.add_work(copy, 1)
