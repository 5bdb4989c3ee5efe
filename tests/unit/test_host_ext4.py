# SPDX-License-Identifier: Apache-2.0
"""Files of a root file system by pages of their content."""

from pathlib import Path

import pytest

from orchestrator import process
from orchestrator.errors import CommandError
from orchestrator.host.ext4 import BLOCK, extract, files_with


def test_files_are_found_by_a_page_of_their_content(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/lib").mkdir(parents=True)
    one, two, tail = (bytes([number]) * BLOCK for number in (1, 2, 3))
    (tree / "usr/lib/one").write_bytes(one + two)
    (tree / "usr/lib/two").write_bytes(two + tail[:100])
    image = tmp_path / "image"
    argv = ("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-d", tree, image, "256")
    process.run(argv, timeout=60)
    assert files_with(image, [one]) == ["/usr/lib/one"]
    assert files_with(image, [two]) == ["/usr/lib/one", "/usr/lib/two"]
    assert files_with(image, [tail[:100].ljust(BLOCK, b"\0")]) == ["/usr/lib/two"]
    assert files_with(image, [bytes([9]) * BLOCK]) == []
    extract(image, "/usr/lib/one", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == one + two


def test_any_name_can_be_copied_and_what_could_not_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    (tree / "usr").mkdir(parents=True)
    odd = 'lib "one" two.so'
    (tree / "usr" / odd).write_bytes(b"\1" * BLOCK)
    image = tmp_path / "image"
    argv = ("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-d", tree, image, "256")
    process.run(argv, timeout=60)
    (path,) = files_with(image, [b"\1" * BLOCK])
    assert path == f"/usr/{odd}"
    target = tmp_path / 'a "copy" of it'
    extract(image, path, target)
    assert target.read_bytes() == b"\1" * BLOCK
    with pytest.raises(CommandError, match="/nosuch of the file system image") as caught:
        extract(image, "/nosuch", tmp_path / "none")
    assert "File not found" in caught.value.details and "e2fsck" in caught.value.hint
