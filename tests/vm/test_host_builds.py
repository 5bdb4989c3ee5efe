# SPDX-License-Identifier: Apache-2.0
"""Builds give the same bytes wherever they are made."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.host import cbuild, trees

pytestmark = pytest.mark.slow


def content(root: Path) -> str:
    """A digest of everything below: names, kinds, modes, times, link targets, contents."""
    digest = hashlib.sha256()
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted(names + files):
            path = Path(directory, name)
            status = path.lstat()
            entry = f"{path.relative_to(root)}\0{status.st_mode}\0{int(status.st_mtime)}\0"
            digest.update(entry.encode())
            if path.is_symlink():
                digest.update(os.readlink(path).encode())
            elif path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("build_type", ["release", "debug"])
def test_two_builds_of_the_c_code_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build_type: cbuild.BuildType
) -> None:
    tree = trees.ensure_tree("build")
    first = cbuild.ensure_dataplane(build_type)
    place = tmp_path / "another" / "and" / "deeper"
    shutil.copytree(paths.project("dataplane"), place / "checkout")
    (place / "cache" / "trees").mkdir(parents=True)
    (place / "cache" / "trees" / tree.path.name).symlink_to(tree.path)
    monkeypatch.setenv("RINGBED_CACHE", str(place / "cache"))
    second = cbuild.ensure_dataplane(build_type, source=place / "checkout")
    assert second.path != first.path
    assert sorted(path.name for path in second.path.iterdir()) == sorted(cbuild.PROGRAMS)
    for name in cbuild.PROGRAMS:
        assert second.program(name).read_bytes() == first.program(name).read_bytes(), name


def test_two_builds_of_a_tree_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.ensure_tree("tools")
    packages = paths.cache("packages")
    found = []
    for place in ("a", "another/and/deeper"):
        cache = tmp_path / place
        cache.mkdir(parents=True)
        (cache / "packages").symlink_to(packages)
        monkeypatch.setenv("RINGBED_CACHE", str(cache))
        tree = trees.ensure_tree("tools")
        found.append(content(tree.path))
        assert [path.name for path in (cache / "trees").iterdir() if path.is_dir()] == [
            tree.path.name
        ]
        shutil.rmtree(tree.path)
    assert found[0] == found[1]


def test_a_killed_build_leaves_nothing_that_matters(tmp_path: Path) -> None:
    trees.ensure_tree("tools")
    (tmp_path / "packages").symlink_to(paths.cache("packages"))
    script = paths.project("images", "tree.sh")
    env = {**os.environ, "RINGBED_CACHE": str(tmp_path)}
    scratch = tmp_path / "trees"
    child = subprocess.Popen([script, "build", "tools"], env=env, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "extracting" in line:
            break
    child.kill()
    child.communicate(timeout=30)
    assert len(list(scratch.glob(".build-tools.*"))) == 1
    done = subprocess.run(
        [script, "build", "tools"], env=env, capture_output=True, text=True, timeout=900, check=True
    )
    assert Path(done.stdout.strip()).is_dir()
    assert not list(scratch.glob(".build-*"))
