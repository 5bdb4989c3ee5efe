# SPDX-License-Identifier: Apache-2.0
"""Images in the cache: found by content hash, built when absent, one builder at a time."""

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import BuildError, HostError
from orchestrator.host import trees
from orchestrator.imaging import build, model
from orchestrator.imaging.build import Progress
from orchestrator.imaging.declaration import read_declaration
from orchestrator.imaging.identity import image_hash, source_hash
from orchestrator.imaging.model import GuestImage

logger = logging.getLogger(__name__)

MIB = 1 << 20
BUILD_BYTES = 1200 * MIB


def ensure_image(
    name: str, *, locked: bool = False, archive: str = "", progress: Progress = logger.info
) -> GuestImage:
    """The image that images/<name>.toml and its lock file declare, built if it is not cached.

    locked: fail when a locked package is not to be had, instead of resolving afresh. archive: a
    Debian mirror instead of the one that the host's apt names. progress: gets one line at a time.
    Raises UsageError for a name or a declaration, BuildError, ProvisionError, HostError.
    """
    declaration = read_declaration(paths.project("images"), name)
    found = _cached(name, locked)
    if found is not None:
        return found
    with _only_builder(name, progress):
        found = _cached(name, locked)
        if found is not None:
            return found
        sources = source_hash(paths.PROJECT, name)
        with _build_directory(name) as work:
            release, packages = build.build_image(
                declaration, work, locked=locked, archive=archive, progress=progress
            )
            if source_hash(paths.PROJECT, name) != sources:
                raise BuildError(
                    f"what {name} is built from was changed meanwhile", hint="build it again"
                )
            # Only now is it known which packages were had: fetching may have resolved afresh.
            had = trees.locked_packages(name, locked=locked)
            image = GuestImage(
                name=name,
                hash=image_hash(sources, had),
                path=work,
                kernel_release=release,
                packages=packages,
                sha256={file: build.sha256(work / file) for file in model.ARTEFACTS},
                drifted=had != trees.read_lock(paths.project("images", f"{name}.lock")),
            )
            model.write_manifest(image)
            final = _place(name, image.hash)
            shutil.rmtree(final, ignore_errors=True)
            work.rename(final)
        return model.read_image(final)


def list_images() -> list[GuestImage]:
    """All images in the cache, by name and age; the newest of a name last."""
    root = paths.cache("images")
    places = [place for place in root.glob("*-*") if place.is_dir() and place.name[0] != "."]
    found = []
    for place in sorted(places, key=lambda place: place.stat().st_mtime):
        try:
            found.append(model.read_image(place))
        except (OSError, ValueError, KeyError) as error:
            logger.warning("%s is not an image: %s", place, error)
    return sorted(found, key=lambda image: image.name)


def lock_image(name: str, *, archive: str = "", progress: Progress = logger.info) -> Path:
    """Renew images/<name>.lock from the archive and return its path. Trees can be locked, too."""
    return trees.renew_lock(name, archive=archive, on_line=progress)


def _cached(name: str, locked: bool) -> GuestImage | None:
    sources = source_hash(paths.PROJECT, name)
    place = _place(name, image_hash(sources, trees.locked_packages(name, locked=locked)))
    try:
        image = model.read_image(place)
    except (OSError, ValueError, KeyError):
        return None
    return image if all((place / file).is_file() for file in model.ARTEFACTS) else None


def _place(name: str, digest: str) -> Path:
    return paths.cache("images", f"{name}-{digest}")


@contextmanager
def _only_builder(name: str, progress: Progress) -> Iterator[None]:
    root = paths.cache("images")
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{name}: another ringbed is building it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _build_directory(name: str) -> Iterator[Path]:
    """A directory beside its destination, gone afterwards unless it was renamed.

    What an earlier, killed build left is removed: we hold the only builder's lock.
    """
    root = paths.cache("images")
    for stale in root.glob(f".build-{name}.*"):
        shutil.rmtree(stale)
    free = shutil.disk_usage(root).free
    if free < BUILD_BYTES:
        raise HostError(
            f"building {name} needs {BUILD_BYTES // MIB} MiB, but {root} has only "
            f"{free // MIB} MiB free",
            hint="free some space (./ringbed clean), or set RINGBED_CACHE to a larger disk",
        )
    work = Path(tempfile.mkdtemp(prefix=f".build-{name}.", dir=root))
    work.chmod(0o755)
    try:
        yield work
    finally:
        if work.exists():
            shutil.rmtree(work)
