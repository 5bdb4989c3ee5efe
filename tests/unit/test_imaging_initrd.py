# SPDX-License-Identifier: Apache-2.0
import lzma
import re
import stat

import pytest

from orchestrator import paths
from orchestrator.errors import BuildError
from orchestrator.imaging import initrd

DEPENDENCIES = initrd.parse_modules_dep(
    "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz "
    "kernel/fs/jbd2.ko.xz\n"
    "kernel/lib/crc16.ko.xz:\n"
    "kernel/fs/mbcache.ko.xz:\n"
    "kernel/fs/jbd2.ko.xz:\n"
    "kernel/drivers/block/virtio_blk.ko.xz:\n"
    "kernel/drivers/acpi/nfit/nfit.ko.xz: kernel/drivers/nvdimm/libnvdimm.ko.xz\n"
    "kernel/drivers/nvdimm/libnvdimm.ko.xz:\n"
    "kernel/drivers/nvdimm/nd_pmem.ko.xz: kernel/drivers/nvdimm/nd_btt.ko.xz "
    "kernel/drivers/nvdimm/libnvdimm.ko.xz\n"
    "kernel/drivers/nvdimm/nd_btt.ko.xz: kernel/drivers/nvdimm/libnvdimm.ko.xz\n"
)
BUILTIN = ("kernel/drivers/virtio/virtio_pci.ko",)


def test_every_module_comes_after_what_it_depends_on_and_once() -> None:
    wanted = {"base": ["ext4"], "virtio": ["virtio-blk"], "pmem": ["nfit", "nd_pmem"]}
    order = initrd.module_order(DEPENDENCIES, BUILTIN, wanted)
    loaded: list[str] = []
    for _, path in order:
        assert set(DEPENDENCIES[path]) <= set(loaded), path
        loaded.append(path)
    assert len(loaded) == len(set(loaded))
    groups = dict((path, group) for group, path in order)
    assert groups["kernel/drivers/nvdimm/libnvdimm.ko.xz"] == "pmem"


def test_a_module_that_is_compiled_in_needs_no_loading() -> None:
    assert initrd.module_order(DEPENDENCIES, BUILTIN, {"virtio": ["virtio_pci"]}) == []


def test_a_module_that_the_kernel_lacks_is_named() -> None:
    with pytest.raises(BuildError, match="no module zfs"):
        initrd.module_order(DEPENDENCIES, BUILTIN, {"base": ["zfs"]})


def _entries() -> list[initrd.Entry]:
    return initrd.compose(
        busybox=b"busybox",
        init=b"#!/bin/busybox sh\n",
        modules=[
            ("base", "kernel/lib/crc16.ko.xz", lzma.compress(b"crc16")),
            ("virtio", "kernel/drivers/block/virtio_blk.ko", b"virtio_blk"),
        ],
    )


def test_modules_are_stored_as_the_kernel_loads_them() -> None:
    by_path = {entry.path: entry for entry in _entries()}
    assert by_path["modules/crc16.ko"].data == b"crc16"
    assert by_path["modules/virtio_blk.ko"].data == b"virtio_blk"
    assert by_path["modules/order"].data == b"base crc16.ko\nvirtio virtio_blk.ko\n"


def test_the_archive_depends_on_its_members_only() -> None:
    entries = _entries()
    assert initrd.cpio(entries, epoch=1) == initrd.cpio(list(reversed(entries)), epoch=1)
    assert initrd.cpio(entries, epoch=1) != initrd.cpio(entries, epoch=2)


def _members(archive: bytes) -> dict[str, tuple[list[int], bytes]]:
    """Name to header fields and content, read as the kernel's documentation of newc says
    (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    found: dict[str, tuple[list[int], bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        words = archive[at + 6 : at + 110]
        fields = [int(words[start : start + 8], 16) for start in range(0, 104, 8)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields, archive[start : start + size])
        at = (start + size + 3) & ~3


def test_the_archive_reads_as_the_kernel_reads_it() -> None:
    entries = _entries()
    members = _members(initrd.cpio(entries, epoch=1_000_000_000))
    assert len(members) == len(entries)
    console, _ = members["dev/console"]
    assert stat.S_ISCHR(console[1])
    assert (console[1] & 0o777, console[2], console[3]) == (0o600, 0, 0)
    assert (console[9], console[10]) == (5, 1)
    mount, target = members["bin/mount"]
    assert stat.S_ISLNK(mount[1])
    assert target == b"busybox"
    assert stat.S_ISDIR(members["layer"][0][1])
    assert {fields[5] for fields, _ in members.values()} == {1_000_000_000}
    assert members["modules/crc16.ko"][1] == b"crc16"


def test_every_parent_directory_precedes_its_content() -> None:
    entries = sorted(_entries(), key=lambda entry: entry.path)
    seen = set()
    for entry in entries:
        parent = entry.path.rpartition("/")[0]
        assert not parent or parent in seen, entry.path
        if stat.S_ISDIR(entry.mode):
            seen.add(entry.path)


def test_the_script_calls_no_command_that_is_not_linked() -> None:
    script = paths.project("images", "guest", "initrd-init").read_text(encoding="utf-8")
    code = "\n".join(line.partition("# ")[0] for line in script.splitlines()[1:])
    known = {"mount", "umount", "insmod", "usleep", "cat", "mkdir", "switch_root", "poweroff"}
    assert known <= set(initrd.APPLETS)
    for other in ("sleep", "ls", "grep", "sed", "ip", "modprobe", "awk", "mknod", "ln", "cp"):
        assert not re.search(rf"(^|[;&|(]|\bexec )\s*{other}\s", code, re.MULTILINE), other
