# SPDX-License-Identifier: Apache-2.0
import io
import re
import tarfile
from pathlib import Path

import pytest

from orchestrator import process
from orchestrator.errors import BuildError
from orchestrator.imaging import rootfs

STATUS = """Package: busybox-static
Status: install ok installed
Version: 1:1.37.0-6
Description: tiny
 Status: this line is no field

Package: gone
Status: deinstall ok config-files
Version: 1
"""
FILES = {
    "./boot/vmlinuz-6.12.0-test": b"kernel",
    "./usr/bin/busybox": b"b" * 5000,
    "./usr/lib/modules/6.12.0-test/modules.dep": b"kernel/a.ko:\n",
    "./usr/lib/modules/6.12.0-test/modules.builtin": b"kernel/b.ko\n",
    "./usr/lib/modules/6.12.0-test/kernel/a.ko": b"module",
    "./var/lib/dpkg/status": STATUS.encode(),
}


def write_tree(path: Path, files: dict[str, bytes], *, mtime: int = 2000, owner: int = 7) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.gid = len(data), mtime, owner, owner
            member.uname = "builder"
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("./vmlinuz")
        link.type, link.linkname = tarfile.SYMTYPE, "boot/vmlinuz-6.12.0-test"
        archive.addfile(link)
        hard = tarfile.TarInfo("./usr/bin/hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "./usr/bin/busybox"
        archive.addfile(hard)
    return path


def test_what_the_image_needs_is_found(tmp_path: Path) -> None:
    contents = rootfs.read_tree(write_tree(tmp_path / "tree.tar", FILES))
    assert contents.kernel == b"kernel"
    assert contents.kernel_release == "6.12.0-test"
    assert contents.modules_builtin == "kernel/b.ko\n"
    # Without /boot: busybox takes two blocks, four other files one each; one short link takes none.
    assert (contents.blocks, contents.inodes) == (6, 6)
    found = rootfs.read_modules(tmp_path / "tree.tar", "6.12.0-test", ["kernel/a.ko"])
    assert found == {"kernel/a.ko": b"module"}


@pytest.mark.parametrize("missing", ["./usr/bin/busybox", "./boot/vmlinuz-6.12.0-test"])
def test_a_tree_that_cannot_boot_is_refused(tmp_path: Path, missing: str) -> None:
    files = {name: data for name, data in FILES.items() if name != missing}
    with pytest.raises(BuildError, match="the tree has no"):
        rootfs.read_tree(write_tree(tmp_path / "tree.tar", files))


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree.tar", FILES)
    with pytest.raises(BuildError, match="kernel/z.ko"):
        rootfs.read_modules(tree, "6.12.0-test", ["kernel/z.ko"])


def test_owner_and_build_time_leave_no_trace(tmp_path: Path) -> None:
    results = []
    for number, (mtime, owner) in enumerate([(2000, 7), (3000, 1000)]):
        tree = write_tree(tmp_path / f"{number}.tar", FILES, mtime=mtime, owner=owner)
        rootfs.normalise(tree, tmp_path / f"{number}.out", epoch=1000)
        results.append((tmp_path / f"{number}.out").read_bytes())
    assert results[0] == results[1]
    with tarfile.open(tmp_path / "0.out") as archive:
        names = archive.getnames()
    assert not any(name.startswith(("./boot/", "./vmlinuz")) for name in names)
    assert "./usr/bin/hard" in names


def test_only_installed_packages_are_listed() -> None:
    assert rootfs.package_versions(STATUS) == {"busybox-static": "1:1.37.0-6"}


@pytest.mark.parametrize(("blocks", "inodes"), [(1, 1), (30_000, 9_000), (400_000, 100_000)])
def test_the_file_system_holds_what_it_must_and_suits_an_nvdimm(blocks: int, inodes: int) -> None:
    size = rootfs.file_system_blocks(blocks, inodes, 0) * rootfs.BLOCK
    assert size % rootfs.ALIGNMENT == 0
    assert size > blocks * rootfs.BLOCK + rootfs.inode_count(inodes) * rootfs.INODE


def test_a_file_system_has_the_features_that_are_written_here_whatever_the_host_says(
    tmp_path: Path,
) -> None:
    tree, image = tmp_path / "tree", tmp_path / "image"
    contents = rootfs.read_tree(write_tree(tree, FILES))
    empty = tmp_path / "empty"
    empty.mkdir()
    rootfs.make_ext4(empty, image, contents=contents, label="test", slack_mib=0, epoch=1000)
    told = process.run(("dumpe2fs", "-h", image), timeout=60).stdout
    (features,) = re.findall(r"^Filesystem features: +(.*)$", told, re.MULTILINE)
    assert features == (
        "ext_attr dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file "
        "dir_nlink extra_isize metadata_csum"
    )
