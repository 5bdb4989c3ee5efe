# SPDX-License-Identifier: Apache-2.0
"""Compiles accounting/ for the QEMU in use: the plugins that watch a sealed guest's instructions,
and the library that keeps QEMU's threads to their turns.

Debian packages no header of QEMU's plugin interface; it comes from the source of exactly the QEMU
in the tools tree.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import BuildError, CommandError
from orchestrator.host.locks import locked
from orchestrator.host.trees import Bind, Progress, Tree, ensure_source, ensure_tree
from orchestrator.log import step

PARTS = COUNT, PROFILE, TURNS = "count", "profile", "turns"
HEADER = "include/qemu/qemu-plugin.h"
COMPILE_SECONDS = 300.0
_SOURCE = Path("/src")
_BUILD = Path("/build")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A compiled plugin. hash: of all that it was made from."""

    path: Path
    hash: str


def ensure_plugin(
    tools: Tree,
    name: str = COUNT,
    *,
    build_locked: bool = False,
    archive: str = "",
    on_line: Progress | None = None,
) -> Plugin:
    """The plugin of that name for the QEMU of the tools tree, compiled first when there is none.

    Raises ArchiveError when the archive no longer has QEMU's source, BuildError with the
    compiler's words.
    """
    build = ensure_tree("build", locked=build_locked, archive=archive, on_line=on_line)
    key = plugin_hash(tools.hash, build.hash, name)
    final = paths.cache("build", f"plugin-{key}")
    plugin = Plugin(path=final / f"{name}.so", hash=key)
    if final.is_dir():
        return plugin
    lock = paths.cache("build", f".{final.name}.lock")
    with locked(lock, timeout=COMPILE_SECONDS, what="accounting/"):
        if not final.is_dir():
            with step(f"compiling the plugin {name}"):
                tar = ensure_qemu_source(tools, archive=archive, on_line=on_line)
                _compile(name, tar, build, final, on_line)
    return plugin


def ensure_qemu_source(tools: Tree, *, archive: str = "", on_line: Progress | None = None) -> Path:
    """The upstream tar of the tools tree's QEMU. Raises ArchiveError."""
    version = next(one.version for one in tools.packages if one.name == "qemu-system-x86")
    return ensure_source(tools.name, "qemu", version, archive=archive, on_line=on_line)


def plugin_hash(tools_hash: str, build_hash: str, name: str = COUNT) -> str:
    """The hash of what decides a plugin's bytes."""
    digest = hashlib.sha256(f"{tools_hash}\0{build_hash}\0".encode())
    folder = paths.project("accounting")
    for path in (*sorted(folder.glob("*.h")), folder / f"{name}.c"):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(name: str, tar: Path, build: Tree, final: Path, on_line: Progress | None) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    log = paths.cache("logs", "plugin.log")
    # Undefined symbols are QEMU's own: it gives them when it loads the plugin.
    command = 'gcc -shared -fPIC -O2 -g -std=c17 -Wall -Wextra -Wshadow -Werror -I"$PWD" '
    command += f"-ffile-prefix-map={_SOURCE}=. -o out/{name}.so {_SOURCE}/{name}.c "
    command += "$(pkg-config --cflags glib-2.0)"
    binds = [
        Bind(source=paths.project("accounting"), target=_SOURCE),
        Bind(source=work, target=_BUILD, writable=True),
    ]
    try:
        (work / "out").mkdir(mode=0o755)
        _extract_header(tar, work)
        process.stream(
            build.command(["sh", "-c", command], binds=binds, cwd=_BUILD),
            timeout=COMPILE_SECONDS,
            log=log,
            on_line=on_line,
        )
        os.rename(work / "out", final)
    except CommandError as error:
        raise BuildError(
            f"the plugin {name} does not compile", details=error.details, hint=f"read {log}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract_header(tar: Path, into: Path) -> None:
    with tarfile.open(tar) as archive:
        for member in archive:
            if member.name.endswith(f"/{HEADER}"):
                member.name = Path(HEADER).name
                archive.extract(member, into, filter="data")
                return
    raise BuildError(f"{tar} has no {HEADER}", hint="this QEMU keeps its plugin header elsewhere")
