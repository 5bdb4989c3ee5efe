# SPDX-License-Identifier: Apache-2.0
"""Finds the files of a root file system by pages of their content.

A guest maps programs and libraries page by page, so a page of code that it executed is a block of
its root file system: the blocks are as large as the pages, and no file shares one with another.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from orchestrator import process

# As images are made.
BLOCK = 4096
_DEADLINE_S = 120.0
_AT_ONCE = 2000


def files_with(root: Path, pages: Collection[bytes]) -> list[str]:
    """The regular files of an ext4 file system that hold one of the pages, by path, sorted."""
    wanted = set(pages)
    with root.open("rb") as file:
        blocks = [
            number
            for number, block in enumerate(iter(lambda: file.read(BLOCK), b""))
            if block in wanted
        ]
    inodes = {inode for _, inode in _ask(root, "icheck", blocks) if inode.isdigit()}
    return sorted({path for _, path in _ask(root, "ncheck", sorted(map(int, inodes)))})


def extract(root: Path, path: str, target: Path) -> None:
    """Copy a file out of an ext4 file system."""
    process.run(("debugfs", "-R", f"dump {path} {target}", root), timeout=_DEADLINE_S)


def _ask(root: Path, question: str, numbers: list[int]) -> Iterator[tuple[str, str]]:
    """The two columns of debugfs's answer, without their titles."""
    for begin in range(0, len(numbers), _AT_ONCE):
        some = " ".join(map(str, numbers[begin : begin + _AT_ONCE]))
        done = process.run(("debugfs", "-R", f"{question} {some}", root), timeout=_DEADLINE_S)
        yield from re.findall(r"^(\d+)\t(.+)$", done.stdout, re.MULTILINE)
