# SPDX-License-Identifier: Apache-2.0
"""Finds the files of a root file system by pages of their content.

A guest maps programs and libraries page by page, so a page of code that it executed is a block of
its root file system: the blocks are as large as the pages, and no file shares one with another.
"""

import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from orchestrator import process
from orchestrator.errors import CommandError

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
    """Copy a file out of an ext4 file system. Raises CommandError."""
    argv = ("debugfs", "-R", f"dump {_quoted(path)} {_quoted(str(target))}", root)
    done = process.run(argv, timeout=_DEADLINE_S)
    # debugfs ends with status 0 whatever came of its request.
    if not target.is_file():
        raise CommandError(
            f"{path} of the file system {root.name} could not be read",
            command=process.shell_form(argv),
            output=process.tail(done.stderr, 5),
            hint=f"check the file system: e2fsck -fn {shlex.quote(str(root))}",
        )


def _quoted(word: str) -> str:
    """A word of a request to debugfs; a quotation mark in quotes is written twice."""
    return '"{}"'.format(word.replace('"', '""'))


def _ask(root: Path, question: str, numbers: list[int]) -> Iterator[tuple[str, str]]:
    """The two columns of debugfs's answer, without their titles."""
    for begin in range(0, len(numbers), _AT_ONCE):
        some = " ".join(map(str, numbers[begin : begin + _AT_ONCE]))
        done = process.run(("debugfs", "-R", f"{question} {some}", root), timeout=_DEADLINE_S)
        yield from re.findall(r"^(\d+)\t(.+)$", done.stdout, re.MULTILINE)
