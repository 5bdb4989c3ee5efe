# SPDX-License-Identifier: Apache-2.0
"""From the tar of a tree to the parts of an image: kernel, initrd parts, root file system."""

import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator import process
from orchestrator.errors import BuildError

BLOCK = 4096
INODE = 256
MIB = 1 << 20
# An nvdimm's namespace is mapped in huge pages, so the size is a whole number of them.
ALIGNMENT = 2 * MIB
MKE2FS_TIMEOUT_S = 300.0
MKE2FS_CONFIG = Path(__file__).with_name("mke2fs.conf")
NAMESPACE = uuid.UUID("6f1d3c1e-6f0c-5b60-8f53-0b3f2f6d8a11")


@dataclass(slots=True)
class Contents:
    """What is needed from the tree. modules: path below the modules directory to content."""

    kernel: bytes = b""
    kernel_release: str = ""
    busybox: bytes = b""
    dpkg_status: str = ""
    modules_dep: str = ""
    modules_builtin: str = ""
    blocks: int = 0
    inodes: int = 0


def read_tree(tree: Path) -> Contents:
    """Collect from a tar what the image's other parts are made of, and its size."""
    contents = Contents()
    with tarfile.open(tree) as archive:
        for member in archive:
            path = _clean(member.name)
            _measure(contents, member)
            if path.startswith("boot/vmlinuz-") and member.isfile():
                if contents.kernel:
                    raise BuildError("the tree has more than one kernel")
                contents.kernel = _content(archive, member)
                contents.kernel_release = path.removeprefix("boot/vmlinuz-")
            elif path == "usr/bin/busybox":
                contents.busybox = _content(archive, member)
            elif path == "var/lib/dpkg/status":
                contents.dpkg_status = _content(archive, member).decode()
            elif path.startswith("usr/lib/modules/") and path.count("/") == 4:
                if path.endswith("/modules.dep"):
                    contents.modules_dep = _content(archive, member).decode()
                elif path.endswith("/modules.builtin"):
                    contents.modules_builtin = _content(archive, member).decode()
    for name in ("kernel", "busybox", "dpkg_status", "modules_dep"):
        if not getattr(contents, name):
            raise BuildError(
                f"the tree has no {name.replace('_', ' ')}",
                hint="an image needs a kernel package, kmod and busybox-static",
            )
    return contents


def read_modules(tree: Path, release: str, paths: list[str]) -> dict[str, bytes]:
    """The content of kernel modules, by their path in modules.dep."""
    prefix = f"usr/lib/modules/{release}/"
    wanted = set(paths)
    found: dict[str, bytes] = {}
    with tarfile.open(tree) as archive:
        for member in archive:
            path = _clean(member.name).removeprefix(prefix)
            if path in wanted and member.isfile():
                found[path] = _content(archive, member)
    missing = wanted - found.keys()
    if missing:
        raise BuildError(f"the tree lacks kernel modules: {', '.join(sorted(missing))}")
    return found


def normalise(tree: Path, target: Path, *, epoch: int) -> None:
    """Write the tar that becomes the root file system.

    Without /boot, which QEMU replaces, and with nothing in it that could differ between two
    builds: owners are root, times are not after `epoch`, no extended headers.
    """
    with (
        tarfile.open(tree) as source,
        tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as result,
    ):
        for member in _kept(source):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = int(min(member.mtime, epoch))
            member.pax_headers = {}
            result.addfile(member, source.extractfile(member) if member.isreg() else None)


def make_ext4(
    tree: Path, target: Path, *, contents: Contents, label: str, slack_mib: int, epoch: int
) -> None:
    """A file system from a normalised tar, the same bytes for the same tar.

    It is mounted read-only: mke2fs.conf gives it no journal and no room to grow.
    """
    identity = str(uuid.uuid5(NAMESPACE, label))
    blocks = file_system_blocks(contents.blocks, contents.inodes, slack_mib)
    process.run(
        (
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-b",
            str(BLOCK),
            "-I",
            str(INODE),
            "-m",
            "0",
            "-N",
            str(inode_count(contents.inodes)),
            "-L",
            "ringbed",
            "-U",
            identity,
            "-E",
            f"hash_seed={identity},lazy_itable_init=0,nodiscard,root_owner=0:0",
            "-d",
            tree,
            target,
            str(blocks),
        ),
        timeout=MKE2FS_TIMEOUT_S,
        env={
            "SOURCE_DATE_EPOCH": str(epoch),
            "E2FSPROGS_FAKE_TIME": str(epoch),
            "MKE2FS_CONFIG": str(MKE2FS_CONFIG),
            "TZ": "UTC",
        },
        hint="mke2fs comes with the tools tree: start ringbed through ./ringbed",
    )


def inode_count(used: int) -> int:
    """Inodes to make: those used, the reserved ones, and a few per cent to spare."""
    return used + used // 50 + 64


def file_system_blocks(data_blocks: int, inodes: int, slack_mib: int) -> int:
    """Blocks of a file system that just holds so many data blocks and inodes."""
    tables = inode_count(inodes) * INODE // BLOCK + 1
    size = (data_blocks + tables) * BLOCK * 102 // 100 + 2 * MIB + slack_mib * MIB
    return -(-size // ALIGNMENT) * ALIGNMENT // BLOCK


def package_versions(status: str) -> dict[str, str]:
    """Installed packages and their versions from dpkg's status file."""
    versions: dict[str, str] = {}
    for stanza in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Status", "").endswith(" installed"):
            versions[fields["Package"]] = fields["Version"]
    return versions


def _kept(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        path = _clean(member.name)
        if path.startswith("boot/") or path in (
            "vmlinuz",
            "vmlinuz.old",
            "initrd.img",
            "initrd.img.old",
        ):
            continue
        yield member


def _clean(name: str) -> str:
    return name.removeprefix("./").rstrip("/")


def _measure(contents: Contents, member: tarfile.TarInfo) -> None:
    if _clean(member.name).startswith("boot/") or member.islnk():
        return
    contents.inodes += 1
    # A directory takes a block; a short symbolic link is kept in the inode.
    size = BLOCK if member.isdir() else len(member.linkname) if member.issym() else member.size
    if not member.issym() or size >= 60:
        contents.blocks += -(-size // BLOCK)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise BuildError(f"{member.name} in the tree is not a file")
    return stream.read()
