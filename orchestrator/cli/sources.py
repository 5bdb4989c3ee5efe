# SPDX-License-Identifier: Apache-2.0
"""The files of the checkout by language, found by what they are, so that no checker forgets one."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator import paths, process

GIT_SECONDS = 20
_SHELL = re.compile(rb"#!\s*\S*/(env +)?(ba|da)?sh\b")


def all_files(root: Path | None = None) -> list[Path]:
    """Every file that git knows or would take, relative to the project; of a directory that is no
    checkout (a release archive) every file that git would not ignore. Links are left out, and so
    is what was removed from the disk alone."""
    project = root or paths.PROJECT
    names = _ask_git(project) if (project / ".git").exists() else _walk(project)
    found = {Path(name) for name in names}
    return sorted(path for path in found if _is_file(project / path))


def c_files(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix in (".c", ".h")]


def python_files(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix == ".py"]


def shell_files(files: Iterable[Path], root: Path | None = None) -> list[Path]:
    """Shell scripts: by the name's end, or by a first line that names a shell."""
    project = root or paths.PROJECT
    return [path for path in files if path.suffix == ".sh" or _SHELL.match(_head(project / path))]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(80)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _ask_git(project: Path) -> Iterable[str]:
    # A checkout may belong to another user (sudo): reading it is all that happens.
    argv = ["git", "-c", f"safe.directory={project}", "-C", str(project), "ls-files", "-z"]
    argv += ["--cached", "--others", "--exclude-standard"]
    return process.run(argv, timeout=GIT_SECONDS).stdout.rstrip("\0").split("\0")


def _walk(project: Path) -> Iterable[Path]:
    ignored = (project / ".gitignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip("/") for line in ignored]
    found = []
    for directory, below, names in project.walk():
        below[:] = [name for name in below if not _matches(name, patterns)]
        kept = [directory / name for name in names if not _matches(name, patterns)]
        found += [path.relative_to(project) for path in kept]
    return found


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
