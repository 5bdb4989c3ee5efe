# SPDX-License-Identifier: Apache-2.0
"""The git repository that this ringbed is checked out from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, process
from orchestrator.errors import UsageError

GIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    hash: str
    subject: str

    @property
    def short(self) -> str:
        return self.hash[:10]


def git(
    *arguments: str,
    at: Path | None = None,
    check: bool = True,
    timeout: float = GIT_SECONDS,
    env: Mapping[str, str] | None = None,
) -> process.Completed:
    """A git command in a checkout, this one by default. Raises CommandError."""
    where = at or paths.PROJECT
    # A checkout may belong to another user (sudo).
    argv = ["git", "-c", "safe.directory=*", "-C", str(where), *arguments]
    return process.run(argv, timeout=timeout, check=check, env=env)


def resolve(name: str, at: Path | None = None) -> Commit:
    """The commit that a name means. Raises UsageError."""
    done = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", at=at, check=False)
    if done.returncode:
        raise UsageError(f"there is no commit {name}", hint="name one as for git: a hash, HEAD~3")
    return describe(done.stdout.strip(), at)


def describe(commit: str, at: Path | None = None) -> Commit:
    subject = git("show", "--no-patch", "--format=%s", commit, at=at).stdout.strip()
    return Commit(hash=commit, subject=subject)
