# SPDX-License-Identifier: Apache-2.0
"""What a bundle consists of. The launcher knows PACKAGES, WHEELS and SOURCES as well
(--offline)."""

from dataclasses import dataclass
from pathlib import Path

FORMAT = 1

README = "README.md"
METADATA = "ro-crate-metadata.json"
SUMS = "SHA256SUMS"
DESCRIPTION = "bundle.json"
LAUNCHER = "ringbed"
RUN = "run"
SOURCE = "source"
PACKAGES = "packages"
WHEELS = "wheels"
SOURCES = "sources"
# Where a reproduction started by the bundle's own launcher puts everything it makes.
REPRODUCED = "reproduced"

SUFFIX = ".ringbed.tar.gz"

FOLDERS = {
    RUN: "The run: manifest, plan, journal, raw data of every trial, tables, figures, report",
    SOURCE: "ringbed as it was when the run was made, with its lock files (source/images)",
    PACKAGES: "Every Debian package that the lock files pin, by its SHA-256",
    SOURCES: "Upstream sources of Debian packages, for headers that no package has",
    WHEELS: "Every Python package that source/requirements.lock pins",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a bundle. name: its path there; title: what it is if the name does not say."""

    name: str
    path: Path
    executable: bool = False
    title: str = ""

    @property
    def folder(self) -> str:
        return self.name.partition("/")[0] if "/" in self.name else ""
