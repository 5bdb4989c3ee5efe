# SPDX-License-Identifier: Apache-2.0
"""Pinned trees of Debian packages: the Python face of images/tree.sh.

A tree is declared in images/<name>.toml and locked in images/<name>.lock. It is built once per
content of declaration, lock and builder, and found again by that hash.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import ArchiveError, BuildError, CommandError, RingbedError, UsageError
from orchestrator.log import step

BUILD_SECONDS = 3600.0
QUERY_SECONDS = 30.0
_LOCK_LINE = re.compile(r"([0-9a-f]{64})  ([^_\s]+)_([^_\s]+)_([a-z0-9]+)\.deb")
_ROOT_DIRECTORIES = ("bin", "lib", "lib64", "sbin")

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One locked package. sha256: of the .deb file."""

    name: str
    version: str
    architecture: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Shows `source`, a path of the host, at `target` inside a tree."""

    source: Path
    target: Path
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A built tree. drift: how its packages differ from the lock file, as lines of a diff; empty
    unless the archive no longer had what the lock names."""

    name: str
    path: Path
    hash: str
    packages: tuple[Package, ...]
    drift: tuple[str, ...]

    def command(
        self,
        argv: process.Argv,
        *,
        binds: Sequence[Bind] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> list[str]:
        """The argv that runs `argv` with this tree as its whole file system.

        It sees the tree read-only, an empty /tmp and /run, the binds, and nothing of the host's
        environment but `env`. cwd: the working directory; a directory of the host that no bind
        shows is shown read-only at its own path. network: share the host's; else only loopback.
        """
        directory = cwd or Path("/")
        shown = list(binds)
        if cwd is not None and not any(cwd.is_relative_to(bind.target) for bind in shown):
            shown.append(Bind(source=cwd, target=cwd))
        words = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--clearenv"]
        if not network:
            words.append("--unshare-net")
        for part in ("usr", "etc", "var"):
            words += ["--ro-bind", str(self.path / part), f"/{part}"]
        for part in _ROOT_DIRECTORIES:
            words += ["--symlink", f"usr/{part}", f"/{part}"]
        words += ["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
        words += ["--tmpfs", "/tmp", "--tmpfs", "/run"]
        for bind in shown:
            words += ["--bind" if bind.writable else "--ro-bind", str(bind.source)]
            words.append(str(bind.target))
        settings = {
            "PATH": "/usr/sbin:/usr/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": "/tmp",
            **(env or {}),
        }
        for name, value in settings.items():
            words += ["--setenv", name, value]
        return [*words, "--chdir", str(directory), "--", *(os.fspath(word) for word in argv)]


def ensure_tree(
    name: str, *, locked: bool = False, archive: str = "", on_line: Progress | None = None
) -> Tree:
    """The tree `name`, built first when there is none for its present declaration and lock.

    locked: fail when a locked package is no longer to be had, instead of resolving afresh.
    archive: Debian mirror; default as in RINGBED_ARCHIVE, else the host's apt sources.
    on_line: receives lines that say what goes on. Raises ArchiveError, BuildError, UsageError.
    """
    path = tree_path(name, locked=locked)
    if not path.is_dir():
        with step(f"building the {name} tree"):
            _long(["build", name], name, locked=locked, archive=archive, on_line=on_line)
        path = tree_path(name, locked=locked)
    record = path / ".ringbed"
    drift = record / "drift"
    return Tree(
        name=name,
        path=path,
        hash=path.name.removeprefix(f"{name}-"),
        packages=read_lock(record / "packages.lock"),
        drift=tuple(drift.read_text().splitlines()) if drift.exists() else (),
    )


def tree_path(name: str, *, locked: bool = False) -> Path:
    """Where the tree is, or would be once it is built."""
    return Path(_query(["path", name], locked=locked).strip())


def locked_packages(name: str, *, locked: bool = False) -> tuple[Package, ...]:
    """The packages that a build of `name` would be made of now."""
    return parse_lock(_query(["packages", name], locked=locked))


def build_tar(
    name: str,
    output: Path,
    hooks: Sequence[str] = (),
    *,
    locked: bool = False,
    archive: str = "",
    on_line: Progress | None = None,
) -> None:
    """Build `name` afresh into the tar file `output`.

    hooks: shell commands run on the finished tree before it is packed, each with the tree's path
    as $1, in the build sandbox: the only user there is root, chown() has no effect, and of the
    environment only PATH, HOME, TMPDIR, LC_ALL, TZ and SOURCE_DATE_EPOCH is set.
    """
    with step(f"building the {name} tree"):
        arguments = ["tar", name, str(output), *hooks]
        _long(arguments, name, locked=locked, archive=archive, on_line=on_line)


def renew_lock(name: str, *, archive: str = "", on_line: Progress | None = None) -> Path:
    """Resolve the declaration against the archive of today, and write the lock file."""
    with step(f"locking the packages of {name}"):
        _long(["lock", name], name, locked=False, archive=archive, on_line=on_line)
    return paths.project("images", f"{name}.lock")


def ensure_source(
    tree: str, package: str, version: str, *, archive: str = "", on_line: Progress | None = None
) -> Path:
    """The upstream tar of a Debian package's source, of the suite that `tree` is made from;
    fetched first when the cache has none. Raises ArchiveError."""
    suite = declared_suite(tree)
    log = paths.cache("logs", f"{package}-source.log")
    words = ["setpriv", "--pdeathsig", "TERM", str(paths.project("images", "source.sh"))]
    if archive:
        words += ["--archive", archive]
    words += [suite, package, version]
    try:
        done = process.stream(
            words, timeout=BUILD_SECONDS, log=log, on_line=on_line, env=_environment()
        )
    except CommandError as error:
        raise _explain(error, log.read_text(encoding="utf-8", errors="replace")) from error
    return Path(done.stdout.splitlines()[-1])


def declared_suite(name: str) -> str:
    """The Debian suite of a declaration."""
    with paths.project("images", f"{name}.toml").open("rb") as file:
        return str(tomllib.load(file)["suite"])


def fetch_packages(name: str, images: Path, *, archive: str = "") -> list[tuple[Package, Path]]:
    """The packages that a lock file pins, each with its file in the cache, fetched if need be.

    images: the folder of the declaration, with a tree.sh of its own. Raises ArchiveError.
    """
    lock = images / f"{name}.lock"
    script = str(images / "tree.sh")
    words = [script, "--locked", *(("--archive", archive) if archive else ()), "fetch", name]
    log = paths.cache("logs", f"{name}-fetch.log")
    log.unlink(missing_ok=True)
    with step(f"packages of the {name} tree"):
        try:
            process.stream(words, timeout=BUILD_SECONDS, log=log, env=_environment())
        except CommandError as error:
            raise _explain(error, log.read_text(encoding="utf-8", errors="replace")) from error
    return [(one, paths.cache("packages", f"{one.sha256}.deb")) for one in read_lock(lock)]


def declared_trees() -> tuple[str, ...]:
    """The names of all declarations in images/."""
    return tuple(sorted(path.stem for path in paths.project("images").glob("*.toml")))


def read_lock(path: Path) -> tuple[Package, ...]:
    """The packages that a lock file names."""
    return parse_lock(path.read_text(encoding="utf-8"))


def parse_lock(text: str) -> tuple[Package, ...]:
    """The packages that the text of a lock file names. Raises UsageError for any other line."""
    packages = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _LOCK_LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"not a line of a lock file: {line}", hint="./ringbed image lock")
        sha256, package, version, architecture = match.groups()
        packages.append(
            Package(
                name=package,
                version=version.replace("%3a", ":"),
                architecture=architecture,
                sha256=sha256,
            )
        )
    return tuple(packages)


def _script(arguments: Sequence[str], *, locked: bool, archive: str = "") -> list[str]:
    words = [str(paths.project("images", "tree.sh"))]
    if locked:
        words.append("--locked")
    if archive:
        words += ["--archive", archive]
    return [*words, *arguments]


def _query(arguments: Sequence[str], *, locked: bool) -> str:
    try:
        done = process.run(
            _script(arguments, locked=locked), timeout=QUERY_SECONDS, env=_environment()
        )
    except CommandError as error:
        raise _explain(error, error.output) from error
    return done.stdout


def _long(
    arguments: Sequence[str], name: str, *, locked: bool, archive: str, on_line: Progress | None
) -> None:
    log = paths.cache("logs", f"{name}-{arguments[0]}.log")
    # A build must not outlive us: nobody would see it, and it would hold its lock.
    words = ["setpriv", "--pdeathsig", "TERM", *_script(arguments, locked=locked, archive=archive)]
    try:
        process.stream(words, timeout=BUILD_SECONDS, log=log, on_line=on_line, env=_environment())
    except CommandError as error:
        raise _explain(error, log.read_text(encoding="utf-8", errors="replace")) from error


def _environment() -> dict[str, str]:
    return {"RINGBED_CACHE": str(paths.cache())}


def _explain(error: CommandError, output: str) -> RingbedError:
    """The script's own words as an error of ours: its last "error:" line, and the hint below."""
    before, mark, said = output.rpartition("error: ")
    if not mark:
        return BuildError(error.message, details=error.details, hint=error.hint)
    message, _, rest = said.partition("\n")
    hint = rest.strip().removeprefix("hint: ")
    details = process.tail(before, 10)
    if error.returncode == 2:
        return UsageError(message, hint=hint)
    kind = ArchiveError if "archive" in message else BuildError
    return kind(message, hint=hint, details=details)
