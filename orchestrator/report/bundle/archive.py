# SPDX-License-Identifier: Apache-2.0
"""A bundle's files as one tar, and back.

The same files always give the same bytes: sorted names, no owners, one time stamp, and a gzip
header without name and time. What is read is believed only as far as SHA256SUMS goes.
"""

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.host.hashes import parse_sums, sha256
from orchestrator.log import step
from orchestrator.report.bundle import layout
from orchestrator.report.bundle.layout import Entry

# Packages, which are most of a bundle, are compressed already: more would cost time alone.
LEVEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An unpacked bundle whose files are what SHA256SUMS says. names: of those files."""

    root: Path
    names: tuple[str, ...]
    description: dict[str, Any]

    @property
    def run(self) -> Path:
        return self.root / layout.RUN

    @property
    def has_packages(self) -> bool:
        return bool(self.description["packages"])

    def copy(self, folder: str, into: Path) -> None:
        """Copy the listed files of a folder; what else lies there is no part of the bundle."""
        shutil.rmtree(into, ignore_errors=True)
        for name in self.names:
            if name.startswith(f"{folder}/"):
                target = into / name.removeprefix(f"{folder}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root / name, target)


def write(entries: Sequence[Entry], target: Path, *, top: str, mtime: int) -> None:
    """Write the archive; `target` appears when it is complete. top: the folder all is in."""
    part = target.with_name(f".{target.name}.part")
    try:
        with (
            part.open("wb") as raw,
            gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in sorted(entries, key=lambda entry: entry.name):
                info = tarfile.TarInfo(f"{top}/{entry.name}")
                info.size = entry.path.stat().st_size
                info.mtime = mtime
                info.mode = 0o755 if entry.executable else 0o644
                with entry.path.open("rb") as file:
                    tar.addfile(info, file)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def open_bundle(given: Path, scratch: Path) -> Bundle:
    """Check a bundle: an archive, which is unpacked into `scratch`, or the folder that somebody
    unpacked. Raises UsageError when it is no bundle, or a file is not what it was."""
    if given.is_dir():
        return _checked(given.resolve(), given)
    if not given.is_file():
        raise UsageError(f"there is no bundle {given}", hint="make one with: ./ringbed bundle RUN")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with step("unpacking the bundle"):
        _unpack(given, scratch)
    return _checked(scratch.resolve(), given)


def _unpack(archive: Path, into: Path) -> None:
    """Regular files only, without the folder they share. Nothing leaves `into`."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for info in tar:
                name = PurePosixPath(*PurePosixPath(info.name).parts[1:])
                if not info.isreg() or ".." in name.parts or not name.parts:
                    raise UsageError(f"{archive} is no bundle: it holds {info.name!r}")
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(info)
                assert source is not None
                with target.open("xb") as file:
                    shutil.copyfileobj(source, file)
                target.chmod(0o755 if info.mode & 0o100 else 0o644)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, FileExistsError) as error:
        raise UsageError(f"{archive} is no bundle, or damaged: {error}") from error


def _checked(root: Path, given: Path) -> Bundle:
    try:
        sums = parse_sums((root / layout.SUMS).read_text(encoding="utf-8"), layout.SUMS)
        description = json.loads((root / layout.DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"{given} is no bundle: {error}") from error
    if not isinstance(description, dict) or description.get("format") != layout.FORMAT:
        raise UsageError(
            f"{given} has another format than this ringbed reads ({layout.FORMAT})",
            hint="use the ringbed of the bundle itself: ./ringbed in its folder",
        )
    with step(f"checking {len(sums)} files of the bundle"):
        bad = [name for name, digest in sums.items() if not _is_intact(root / name, digest)]
    if bad or layout.DESCRIPTION not in sums:
        listed = "\n".join(f"  {name}" for name in bad[:20])
        raise UsageError(
            f"{given}: {len(bad)} files are missing or not what {layout.SUMS} says",
            details=listed,
            hint="get the bundle again",
        )
    return Bundle(root=root, names=tuple(sorted(sums)), description=description)


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == digest
