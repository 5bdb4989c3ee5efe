# SPDX-License-Identifier: Apache-2.0
"""Compiles dataplane/ in the build tree, and finds the result again by its content.

The compiler sees the sources at /src and works in /build, whatever the checkout and the cache
are called: the same sources and the same tree give the same bytes.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator import paths, process
from orchestrator.errors import BuildError, CommandError
from orchestrator.host.locks import locked
from orchestrator.host.trees import Bind, Progress, Tree, ensure_tree
from orchestrator.log import step

type BuildType = Literal["release", "debug", "traced"]
"""traced: the instructions of a release, with what debuggers read beside them."""

PROGRAMS = (
    "dpos",
    "rb-echo",
    "rb-frames",
    "rb-http",
    "rb-kv",
    "rb-spin",
    "rb-udp-echo",
    "rbload",
    "testpmd-rest.so",
)
COMPILE_SECONDS = 900.0
_SOURCE = Path("/src")
BUILD_DIRECTORY = Path("/build")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Compiled programs. hash: of all they were made from; path: the directory they are in."""

    path: Path
    hash: str
    build_type: BuildType
    tree: Tree

    def program(self, name: str) -> Path:
        """The file of one of PROGRAMS."""
        return self.path / name


def ensure_dataplane(
    build_type: BuildType = "release",
    *,
    source: Path | None = None,
    build_locked: bool = False,
    archive: str = "",
    on_line: Progress | None = None,
) -> BuildResult:
    """The programs of dataplane/, compiled first when that was not done for these sources.

    source: another copy of dataplane/. Raises BuildError with the compiler's words.
    """
    directory = source or paths.project("dataplane")
    tree = ensure_tree("build", locked=build_locked, archive=archive, on_line=on_line)
    key = source_hash(directory, tree.hash, build_type)
    final = paths.cache("build", key)
    result = BuildResult(path=final, hash=key, build_type=build_type, tree=tree)
    if final.is_dir():
        return result
    with locked(paths.cache("build", f".{key}.lock"), timeout=COMPILE_SECONDS, what="dataplane/"):
        if not final.is_dir():
            with step(f"compiling the dataplane ({build_type})"):
                _compile(directory, tree, build_type, final, on_line)
    return result


def source_hash(directory: Path, tree_hash: str, build_type: BuildType) -> str:
    """The hash of what decides the result: every source file, the tree, the kind of build, and
    which programs are kept."""
    digest = hashlib.sha256("\0".join((tree_hash, build_type, *PROGRAMS, "")).encode())
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _binds(source: Path, build: Path) -> list[Bind]:
    return [
        Bind(source=source, target=_SOURCE),
        Bind(source=build, target=BUILD_DIRECTORY, writable=True),
    ]


def _compile(
    source: Path, tree: Tree, build_type: BuildType, final: Path, on_line: Progress | None
) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(final)
    work = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    log = paths.cache("logs", f"dataplane-{build_type}.log")
    try:
        build, out = work / "build", work / "out"
        build.mkdir()
        out.mkdir(mode=0o755)
        kind = "debug" if build_type == "debug" else "release"
        setup = ["meson", "setup", str(BUILD_DIRECTORY), str(_SOURCE), f"--buildtype={kind}"]
        if kind == "release":
            setup.append("-Db_ndebug=true")
        if build_type == "traced":
            setup.append("-Ddebug=true")
        for argv in ([*setup, "-Dtests=disabled"], ["ninja", "-C", str(BUILD_DIRECTORY)]):
            process.stream(
                tree.command(argv, binds=_binds(source, build), cwd=BUILD_DIRECTORY),
                timeout=COMPILE_SECONDS,
                log=log,
                on_line=on_line,
            )
        for name in PROGRAMS:
            shutil.copy2(_find(build, name), out / name)
        os.rename(out, final)
    except CommandError as error:
        raise BuildError(
            "the dataplane does not compile", details=error.details, hint=f"read {log}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_stale(final: Path) -> None:
    """Remove what a killed build of the same key left. The caller holds the lock of the key."""
    for left in final.parent.glob(f".{final.name}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


def _find(build: Path, name: str) -> Path:
    found = [path for path in build.rglob(name) if path.is_file()]
    if len(found) != 1:
        raise BuildError(
            f"the build of dataplane/ gave {len(found)} files called {name}",
            hint="dataplane/meson.build must declare each program exactly once",
        )
    return found[0]
