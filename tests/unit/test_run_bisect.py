# SPDX-License-Identifier: Apache-2.0
"""Bisection over a real repository, with a value that stands in a file instead of a trial."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.run.bisect import Found, Unmeasurable, bisect
from orchestrator.run.repository import Commit, git

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


class Repository:
    """A repository whose commits have a value each; None: it does not build."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git("init", "--quiet", "--initial-branch=main", at=path)
        self.hashes: list[str] = []

    def commit(self, value: float | None, more: tuple[str, ...] = ()) -> str:
        (self.path / "value").write_text("broken" if value is None else repr(value))
        (self.path / "number").write_text(str(len(self.hashes)))
        git("add", ".", at=self.path)
        message = f"commit {len(self.hashes)}"
        git("commit", "--quiet", "-m", message, *more, at=self.path, env=IDENTITY)
        self.hashes.append(git("rev-parse", "HEAD", at=self.path).stdout.strip())
        return self.hashes[-1]

    def worktrees(self) -> int:
        listed = git("worktree", "list", "--porcelain", at=self.path).stdout
        return listed.count("worktree ")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def measure(commit: Commit, checkout: Path) -> float:
    """As a trial would: from what is checked out."""
    head = git("rev-parse", "HEAD", at=checkout).stdout.strip()
    assert head == commit.hash
    text = (checkout / "value").read_text()
    if text == "broken":
        raise Unmeasurable("does not build")
    return float(text)


def search(
    repository: Repository,
    place: Path,
    *,
    good: str | None = None,
    bad: str | None = None,
    by: Callable[[Commit, Path], float] = measure,
) -> Found:
    return bisect(
        good or repository.hashes[0],
        bad or repository.hashes[-1],
        by,
        place=place,
        threshold=0.005,
        repository=repository.path,
    )


@pytest.mark.parametrize("at", [1, 7, 8, 15])
def test_the_first_of_16_commits_that_is_slower_by_a_percent(
    repository: Repository, place: Path, at: int
) -> None:
    for number in range(16):
        # Neutral changes of up to 0.2 % on either side of the step.
        repository.commit(1000.0 * (1.01 if number >= at else 1.0) + number % 3)
    found = search(repository, place)
    assert found.first_bad is not None
    assert found.first_bad.hash == repository.hashes[at]
    assert found.first_bad.subject == f"commit {at}"
    assert len(found.tried) <= 2 + 4
    assert repository.worktrees() == 1 and not list(place.iterdir())


def test_commits_that_do_not_build_are_skipped(repository: Repository, place: Path) -> None:
    for value in (1.0, 1.0, None, 1.0, 1.0, 2.0, None, 2.0):
        repository.commit(value)
    found = search(repository, place)
    assert found.first_bad is not None and found.first_bad.hash == repository.hashes[5]


def test_skipped_commits_can_hide_the_answer(repository: Repository, place: Path) -> None:
    for value in (1.0, None, None, 2.0):
        repository.commit(value)
    found = search(repository, place)
    assert found.first_bad is None
    assert {one.hash for one in found.candidates} == set(repository.hashes[1:])
    assert [one.why for one in found.tried if one.kind == "skipped"] == ["does not build"] * 2
    assert repository.worktrees() == 1


def test_a_change_on_a_merged_branch(repository: Repository, place: Path) -> None:
    repository.commit(1.0)
    git("checkout", "--quiet", "-b", "side", at=repository.path)
    culprit = repository.commit(2.0)
    git("checkout", "--quiet", "main", at=repository.path)
    (repository.path / "other").write_text("x")
    git("add", ".", at=repository.path)
    git("commit", "--quiet", "-m", "main", at=repository.path, env=IDENTITY)
    git("merge", "--quiet", "-m", "merge", "side", at=repository.path, env=IDENTITY)
    found = search(repository, place, bad="HEAD")
    assert found.first_bad is not None and found.first_bad.hash == culprit


def test_what_cannot_be_bisected_is_refused(repository: Repository, place: Path) -> None:
    for value in (1.0, 1.004, None):
        repository.commit(value)
    first, same, broken = repository.hashes
    with pytest.raises(UsageError, match="are the same"):
        search(repository, place, bad=same)
    with pytest.raises(UsageError, match="the same commit"):
        search(repository, place, good=same, bad=same)
    with pytest.raises(UsageError, match="no ancestor"):
        search(repository, place, good=same, bad=first)
    with pytest.raises(UsageError, match="no commit"):
        search(repository, place, bad="nonsense")
    with pytest.raises(Unmeasurable, match="does not build"):
        search(repository, place, bad=broken)
    assert repository.worktrees() == 1 and not list(place.iterdir())


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_no_worktree_stays_however_it_ends(repository: Repository, place: Path, after: int) -> None:
    for number in range(8):
        repository.commit(float(1 + number // 4))
    calls: list[Commit] = []

    def interrupted(commit: Commit, checkout: Path) -> float:
        calls.append(commit)
        if len(calls) > after:
            raise KeyboardInterrupt
        return measure(commit, checkout)

    with pytest.raises(KeyboardInterrupt):
        search(repository, place, by=interrupted)
    assert repository.worktrees() == 1 and not list(place.iterdir())
    assert not (repository.path / ".git" / "worktrees").exists()


def test_the_users_own_bisection_is_left_alone(repository: Repository, place: Path) -> None:
    for number in range(8):
        repository.commit(float(1 + number // 4))
    git("bisect", "start", "HEAD", repository.hashes[0], at=repository.path)
    before = git("bisect", "log", at=repository.path).stdout
    head = git("rev-parse", "HEAD", at=repository.path).stdout
    search(repository, place)
    assert git("bisect", "log", at=repository.path).stdout == before
    assert git("rev-parse", "HEAD", at=repository.path).stdout == head


def test_hooks_do_not_run(repository: Repository, place: Path) -> None:
    for value in (1.0, 2.0):
        repository.commit(value)
    hook = repository.path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repository.path}/ran\n")
    os.chmod(hook, 0o755)
    search(repository, place)
    assert not (repository.path / "ran").exists()
