# SPDX-License-Identifier: Apache-2.0
"""What a build of the C code is found again by."""

from pathlib import Path

import pytest

from orchestrator.errors import BuildError
from orchestrator.host import cbuild
from orchestrator.host.trees import Tree

TREE = Tree(name="build", path=Path("/tree"), hash="aaaa", packages=(), drift=())


def sources(directory: Path) -> Path:
    (directory / "sub").mkdir(parents=True)
    (directory / "meson.build").write_text("project('x', 'c')")
    (directory / "sub" / "a.c").write_text("int a;")
    return directory


def test_hash_is_of_names_and_contents_not_of_the_place(tmp_path: Path) -> None:
    one = cbuild.source_hash(sources(tmp_path / "one"), TREE.hash, "release")
    assert cbuild.source_hash(sources(tmp_path / "two"), TREE.hash, "release") == one
    assert cbuild.source_hash(tmp_path / "one", TREE.hash, "debug") != one
    (tmp_path / "one" / "sub" / "a.c").rename(tmp_path / "one" / "sub" / "b.c")
    assert cbuild.source_hash(tmp_path / "one", TREE.hash, "release") != one


def test_a_program_that_was_not_built_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="0 files called rbload"):
        cbuild._find(tmp_path, "rbload")


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".0123.abcd"
    left.mkdir()
    (tmp_path / ".4567.abcd").mkdir()
    cbuild._remove_stale(tmp_path / "0123")
    assert not left.exists()
    assert (tmp_path / ".4567.abcd").exists()
