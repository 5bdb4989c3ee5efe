# SPDX-License-Identifier: Apache-2.0
"""Composes the initrd: busybox, a script, and just the modules that find the root device.

It is not compressed: QEMU copies it into memory in no time, and the guest would have to unpack it.
"""

import lzma
import posixpath
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import BuildError

# The commands of images/guest/initrd-init; `sh` built-ins are not among them.
APPLETS = ("cat", "insmod", "mkdir", "mount", "poweroff", "switch_root", "umount", "usleep")
DIRECTORIES = ("bin", "dev", "layer", "lower", "modules", "proc", "root", "tmp")
MODULE_SUFFIXES = (".ko", ".ko.xz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A member of the archive. data: of a symbolic link its target. device: major and minor."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def module_order(
    dependencies: Mapping[str, Sequence[str]],
    builtin: Iterable[str],
    wanted: Mapping[str, Sequence[str]],
) -> list[tuple[str, str]]:
    """The modules to load, as (set, path), each after what it depends on and only once.

    dependencies: modules.dep as path to paths. builtin: names compiled into the kernel. wanted:
    set to module names. Raises BuildError for a module that the kernel does not have.
    """
    by_name = {_module_name(path): path for path in dependencies}
    compiled_in = {_module_name(path) for path in builtin}
    order: list[tuple[str, str]] = []
    seen: set[str] = set()
    for group, names in wanted.items():
        for name in names:
            key = name.replace("-", "_")
            if key in compiled_in:
                continue
            if key not in by_name:
                raise BuildError(
                    f"the kernel has no module {name}",
                    hint="see [image.initrd] and `exclude` in the declaration of the image",
                )
            path = by_name[key]
            # modules.dep names the direct dependency first: the last one must be loaded first.
            for needed in [*reversed(dependencies[path]), path]:
                if needed not in seen:
                    seen.add(needed)
                    order.append((group, needed))
    return order


def parse_modules_dep(text: str) -> dict[str, list[str]]:
    lines = (line.partition(":") for line in text.splitlines() if line.strip())
    return {path.strip(): needs.split() for path, _, needs in lines}


def compose(
    *, busybox: bytes, init: bytes, modules: Sequence[tuple[str, str, bytes]]
) -> list[Entry]:
    """The members of the initrd. modules: (set, path, file content) in the order to load them."""
    directory, program = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755
    entries = [Entry(path=name, mode=directory) for name in DIRECTORIES]
    entries.append(Entry(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1)))
    entries.append(Entry(path="bin/busybox", mode=program, data=busybox))
    entries += [
        Entry(path=f"bin/{name}", mode=stat.S_IFLNK | 0o777, data=b"busybox") for name in APPLETS
    ]
    entries.append(Entry(path="init", mode=program, data=init))
    index = []
    for group, path, content in modules:
        name = f"{_module_name(path)}.ko"
        data = lzma.decompress(content) if path.endswith(".xz") else content
        entries.append(Entry(path=f"modules/{name}", mode=stat.S_IFREG | 0o644, data=data))
        index.append(f"{group} {name}\n")
    order = "".join(index).encode()
    entries.append(Entry(path="modules/order", mode=stat.S_IFREG | 0o644, data=order))
    return entries


def cpio(entries: Iterable[Entry], *, epoch: int) -> bytes:
    """A "newc" archive that depends on nothing but its arguments."""
    archive = bytearray()
    ordered = sorted(entries, key=lambda entry: entry.path)
    for inode, entry in enumerate(ordered, start=1):
        _append(archive, entry, inode=inode, epoch=epoch)
    _append(archive, Entry(path="TRAILER!!!", mode=0), inode=0, epoch=0)
    archive.extend(bytes(-len(archive) % 512))
    return bytes(archive)


def _append(archive: bytearray, entry: Entry, *, inode: int, epoch: int) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        inode,
        entry.mode,
        0,
        0,
        links,
        epoch,
        len(entry.data),
        0,
        0,
        *entry.device,
        len(name),
        0,
    )
    archive += b"070701" + "".join(f"{value:08X}" for value in fields).encode() + name
    archive.extend(bytes(-len(archive) % 4))
    archive += entry.data
    archive.extend(bytes(-len(archive) % 4))


def _module_name(path: str) -> str:
    name = posixpath.basename(path)
    for suffix in sorted(MODULE_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return name.removesuffix(suffix).replace("-", "_")
    raise BuildError(f"{path} is not a kernel module as Debian packs them")
