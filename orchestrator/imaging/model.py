# SPDX-License-Identifier: Apache-2.0
"""What an image is once it has been built."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
KERNEL = "vmlinux"
INITRD = "initrd.img"
ROOT = "root.ext4"
ARTEFACTS = (KERNEL, INITRD, ROOT)
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """A directory in the cache with what QEMU boots. Nothing in it is ever changed.

    kernel: an ELF file that QEMU enters directly (PVH). initrd: boots root=/dev/vda and
    root=/dev/pmem0. root: ext4, mounted read-only under a tmpfs. packages: Debian package to
    version. drifted: the archive no longer had what the lock file names, so the packages differ.
    """

    name: str
    hash: str
    path: Path
    kernel_release: str
    packages: Mapping[str, str]
    sha256: Mapping[str, str]
    drifted: bool

    @property
    def kernel(self) -> Path:
        return self.path / KERNEL

    @property
    def initrd(self) -> Path:
        return self.path / INITRD

    @property
    def root(self) -> Path:
        return self.path / ROOT

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return sum((self.path / name).stat().st_blocks * 512 for name in ARTEFACTS)

    def manifest(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "hash": self.hash,
            "kernel_release": self.kernel_release,
            "drifted": self.drifted,
            "sha256": dict(sorted(self.sha256.items())),
            "packages": dict(sorted(self.packages.items())),
        }


def write_manifest(image: GuestImage) -> None:
    text = json.dumps(image.manifest(), indent=2) + "\n"
    (image.path / MANIFEST).write_text(text, encoding="utf-8")


def read_image(path: Path) -> GuestImage:
    """The image in a directory of the cache. Raises OSError or ValueError if it is none."""
    document = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise ValueError(f"{path / MANIFEST} has schema {document.get('schema')!r}")
    return GuestImage(
        name=document["name"],
        hash=document["hash"],
        path=path,
        kernel_release=document["kernel_release"],
        packages=document["packages"],
        sha256=document["sha256"],
        drifted=document["drifted"],
    )
