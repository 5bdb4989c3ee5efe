# SPDX-License-Identifier: Apache-2.0
"""The content hash of an image: everything that can change its bytes, and nothing else."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from orchestrator.host.trees import Package

DIGITS = 16
# Tasks that run in guests, and texts for people, do not get into an image.
NOT_BUILT = ("runtime.yml", "README.md")


def image_hash(sources: str, packages: Iterable[Package]) -> str:
    """The hash of an image: of its sources and of the packages in effect, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    _add(digest, "sources", sources.encode())
    for package in packages:
        _add(digest, package.name, package.sha256.encode())
    return digest.hexdigest()[:DIGITS]


def source_hash(project: Path, name: str) -> str:
    """The part of it that is in the project: the declaration, images/guest, the build-time part of
    playbooks, the tree builder and this package. It does not depend on where the project is."""
    digest = hashlib.sha256()
    for file in sorted(_sources(project, name)):
        mode = b"x" if os.access(file, os.X_OK) else b"-"
        _add(digest, str(file.relative_to(project)), mode + file.read_bytes())
    return digest.hexdigest()


def _sources(project: Path, name: str) -> Iterable[Path]:
    images = project / "images"
    yield images / f"{name}.toml"
    yield images / "tree.sh"
    for place in (images / "guest", project / "playbooks", project / "orchestrator" / "imaging"):
        for file in place.rglob("*"):
            if file.is_file() and file.name not in NOT_BUILT and "__pycache__" not in file.parts:
                yield file


def _add(digest: "hashlib._Hash", label: str, content: bytes) -> None:
    digest.update(f"{label}\0{len(content)}\0".encode())
    digest.update(content)
