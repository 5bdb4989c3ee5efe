# SPDX-License-Identifier: Apache-2.0
"""The Python packages of requirements.lock as files, for installation without a network."""

import os
import re
import shutil
import sys
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import ArchiveError, CommandError
from orchestrator.host.hashes import sha256
from orchestrator.host.locks import locked
from orchestrator.log import step

DOWNLOAD_SECONDS = 1800.0
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def locked_names(lock: Path) -> list[str]:
    """The packages that a lock file of pip names, as PEP 503 normalises them."""
    names = _REQUIREMENT.findall(lock.read_text(encoding="utf-8"))
    return [re.sub(r"[-_.]+", "-", name).lower() for name in names]


def ensure_wheels(lock: Path) -> list[Path]:
    """A wheel for every line of a lock file, from the cache or downloaded with pip, which checks
    them against the lock's hashes. Raises ArchiveError."""
    place = paths.cache("wheels", sha256(lock)[:16])
    with locked(
        paths.cache("wheels", f".{place.name}.lock"), timeout=DOWNLOAD_SECONDS, what="the wheels"
    ):
        if not place.is_dir():
            with step("downloading the locked Python packages"):
                _download(lock, place)
    return sorted(place.iterdir())


def _download(lock: Path, place: Path) -> None:
    work = place.with_name(f".{place.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    argv = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--progress-bar", "off"]
    argv += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    argv += ["--only-binary", ":all:", "--dest", str(work), "--requirement", str(lock)]
    log = paths.cache("logs", "wheels.log")
    try:
        process.stream(argv, timeout=DOWNLOAD_SECONDS, log=log)
    except CommandError as error:
        raise ArchiveError(
            "the locked Python packages could not be downloaded",
            details=error.details,
            hint="pip uses this host's configuration; without packages: --no-packages",
        ) from error
    found, wanted = len(list(work.iterdir())), len(locked_names(lock))
    if found != wanted:
        raise ArchiveError(f"pip gave {found} files for the {wanted} lines of {lock.name}")
    os.rename(work, place)
