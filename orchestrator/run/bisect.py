# SPDX-License-Identifier: Apache-2.0
"""Finds the commit with which a measured value changed.

git's own bisection walks the history, so that merges and skipped commits are dealt with as users
of git know it. Its state is kept in a worktree made for it (`--no-checkout`), and every commit is
measured in a fresh worktree of its own: the user's checkout and bisections are not touched.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.process import deferred_signals
from orchestrator.run.repository import Commit, describe, git, resolve

type Kind = Literal["good", "bad", "skipped"]
# Value of a commit checked out at a path. Raises Unmeasurable when it has none.
type Measure = Callable[[Commit, Path], float]

_FIRST_BAD = re.compile(r"^# first bad commit: \[([0-9a-f]+)\]", re.MULTILINE)
_CANDIDATE = re.compile(r"^# possible first bad commit: \[([0-9a-f]+)\]", re.MULTILINE)


class Unmeasurable(InfrastructureError):
    """A commit that does not build, or whose trial fails: neither good nor bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A commit that was looked at. value: None when it was skipped; why says the reason."""

    commit: Commit
    kind: Kind
    value: float | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """first_bad: None when skipped commits hide which of the candidates it is."""

    first_bad: Commit | None
    candidates: tuple[Commit, ...]
    tried: tuple[Tried, ...]


def bisect(
    good: str,
    bad: str,
    measure: Measure,
    *,
    place: Path,
    threshold: float,
    repository: Path,
    on_tried: Callable[[Tried], None] = lambda _: None,
) -> Found:
    """The first commit whose value is nearer to BAD's than to GOOD's.

    place: an empty directory for worktrees; none is left in it. Both ends are measured first.
    Raises UsageError when GOOD is not older than BAD or their values differ by no more than the
    threshold, and Unmeasurable when one of the two has no value.
    """
    first, last = _ends(good, bad, repository)
    git("worktree", "prune", at=repository)
    tried: list[Tried] = []

    def tell(entry: Tried) -> None:
        tried.append(entry)
        on_tried(entry)

    def value_at(commit: Commit) -> float:
        with worktree(repository, place / commit.short, commit.hash) as checkout:
            value = measure(commit, checkout)
        if not math.isfinite(value):
            raise Unmeasurable(f"the value is {value}")
        return value

    low = value_at(first)
    tell(Tried(commit=first, kind="good", value=low))
    high = value_at(last)
    tell(Tried(commit=last, kind="bad", value=high))
    if not _differ(low, high, threshold):
        raise UsageError(
            f"{first.short} and {last.short} are the same: {low:g} and {high:g}",
            details=f"a difference of up to {threshold:.2%} counts as none",
            hint="name commits between which the metric changed, or --threshold",
        )

    def look_at(commit: Commit) -> Kind:
        try:
            value = value_at(commit)
        except Unmeasurable as error:
            tell(Tried(commit=commit, kind="skipped", value=None, why=error.message))
            return "skipped"
        kind: Kind = "bad" if abs(value - high) < abs(value - low) else "good"
        tell(Tried(commit=commit, kind=kind, value=value))
        return kind

    result, candidates = _walk(repository, place / "bisect", first, last, look_at)
    return Found(first_bad=result, candidates=candidates, tried=tuple(tried))


def _ends(good: str, bad: str, repository: Path) -> tuple[Commit, Commit]:
    first, last = resolve(good, repository), resolve(bad, repository)
    if first == last:
        raise UsageError(
            f"{good} and {bad} are the same commit",
            hint="name one from before the change as GOOD, as in HEAD~3",
        )
    between = ("merge-base", "--is-ancestor", first.hash, last.hash)
    if git(*between, at=repository, check=False).returncode:
        raise UsageError(
            f"{good} is no ancestor of {bad}",
            hint="name the older, good commit first",
        )
    return first, last


def _differ(low: float, high: float, threshold: float) -> bool:
    if low == high:
        return False
    smaller, larger = sorted((abs(low), abs(high)))
    return smaller == 0.0 or low * high < 0.0 or larger / smaller > 1.0 + threshold


def _walk(
    repository: Path,
    place: Path,
    first: Commit,
    last: Commit,
    look_at: Callable[[Commit], Kind],
) -> tuple[Commit | None, tuple[Commit, ...]]:
    """git's bisection from first to last; the answer, or the candidates when there is none."""
    with worktree(repository, place, last.hash, checkout=False) as control:
        git("bisect", "start", "--no-checkout", last.hash, first.hash, at=control)
        while True:
            log = git("bisect", "log", at=control).stdout
            if found := _FIRST_BAD.search(log):
                return describe(found[1], repository), ()
            if left := _CANDIDATE.findall(log):
                return None, tuple(describe(one, repository) for one in left)
            head = git("rev-parse", "BISECT_HEAD", at=control).stdout.strip()
            kind = look_at(describe(head, repository))
            word = "skip" if kind == "skipped" else kind
            # When only skipped commits are left, git says so in its log and by its status.
            git("bisect", word, head, at=control, check=False)


@contextmanager
def worktree(repository: Path, path: Path, commit: str, *, checkout: bool = True) -> Iterator[Path]:
    """A worktree that is gone when the context ends, however it ends."""
    how = () if checkout else ("--no-checkout",)
    try:
        # Hooks are for those who work in the repository.
        git(
            *("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach"),
            *(*how, str(path), commit),
            at=repository,
        )
        yield path
    finally:
        with deferred_signals():
            git("worktree", "remove", "--force", str(path), at=repository, check=False)
            git("worktree", "prune", at=repository, check=False)
