# SPDX-License-Identifier: Apache-2.0
"""Which files the linters look at."""

from pathlib import Path

import pytest

from orchestrator import process
from orchestrator.cli import sources


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project: a script by name, two by their first line, what is none, and products."""
    for name, text in {
        ".gitignore": "__pycache__/\n*.pyc\n/runs/\n",
        "a.sh": "true\n",
        ".ci/run": "#!/usr/bin/env bash\n",
        "guest/rc": "#!/bin/sh -e\n",
        "guest/show": "#!/usr/bin/env python3\n",
        "guest/push": "#!/usr/bin/shred\n",
        "new lines\nin a name.py": "",
        "x.h": "",
        "runs/1/left.sh": "",
        "code/__pycache__/x.py": "",
        "code/x.pyc": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "link.sh").symlink_to("a.sh")
    return tmp_path


def names(files: list[Path]) -> list[str]:
    return [str(path) for path in files]


@pytest.mark.parametrize("checkout", [True, False], ids=["checkout", "archive"])
def test_files_are_found_by_what_they_are(project: Path, checkout: bool) -> None:
    if checkout:
        process.run(["git", "init", "-q", str(project)], timeout=20)
        process.run(["git", "-C", str(project), "add", "a.sh", "x.h"], timeout=20)
    found = sources.all_files(project)
    assert names(sources.shell_files(found, project)) == [".ci/run", "a.sh", "guest/rc"]
    assert names(sources.python_files(found)) == ["new lines\nin a name.py"]
    assert names(sources.c_files(found)) == ["x.h"]
    assert len(found) == 8


def test_a_file_that_was_removed_is_not_found(project: Path) -> None:
    process.run(["git", "init", "-q", str(project)], timeout=20)
    process.run(["git", "-C", str(project), "add", "a.sh"], timeout=20)
    (project / "a.sh").unlink()
    assert Path("a.sh") not in sources.all_files(project)
