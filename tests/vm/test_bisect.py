# SPDX-License-Identifier: Apache-2.0
"""`ringbed bisect` on a clone of this very repository: 16 commits, of which one adds a percent to
the instructions of a request, and real trials.

The commits are of all sorts: prose, Python, comments in C, and C whose code lies elsewhere in
memory. What is not committed is not in the clone. 3 minutes; only by name: `pytest -m bisect`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from leftovers import Places, Ringbed, new_places

from orchestrator import paths
from orchestrator.imaging.identity import source_hash
from orchestrator.run import neutral
from orchestrator.run.neutral import Change, Kind
from orchestrator.run.repository import git

pytestmark = pytest.mark.bisect

COMMITS = 16
CULPRIT = 11
# An echo costs some 28,000 instructions on the server; the loop has two to a round.
ROUNDS = 140
METRIC = "instructions_per_request_user"
TRIAL = (
    *("--trial", "quickstart", "--only", "linux-echo-single", "--repeat", "1"),
    *("--set", "clock=virtual", "--set", "warmup=10ms", "--set", "duration=50ms"),
    *("--set", "matrix.load=[4000]", "--set", "accounting=false"),
)
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "a"), ("EMAIL", "a@example.org"))
}


def prose(clone: Path, number: int) -> None:
    append(clone / "README.md", f"\nRemark {number}.\n")


def python(clone: Path, number: int) -> None:
    append(clone / "orchestrator" / "errors.py", f"\n# Remark {number}.\n")


def comment(clone: Path, number: int) -> None:
    append(clone / "dataplane" / "apps" / "server.c", f"\n/* Remark {number}. */\n")


def order(clone: Path, number: int) -> None:
    neutral.apply(Change(kind=Kind.ORDER, number=number), clone / "dataplane")


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


NEUTRAL: tuple[Callable[[Path, int], None], ...] = (prose, order, python, comment)


@contextmanager
def cloned(places: Places) -> Iterator[Path]:
    """The clone with its commits; its name is short, and nothing below the tests' own places."""
    with TemporaryDirectory(prefix="rbc", dir="/tmp") as name:
        clone = Path(name) / "ringbed"
        git("clone", "--quiet", "--no-hardlinks", str(paths.PROJECT), str(clone))
        for number in range(1, COMMITS + 1):
            if number == CULPRIT:
                neutral.add_work(clone / "dataplane", ROUNDS)
            else:
                NEUTRAL[number % len(NEUTRAL)](clone, number)
            git("commit", "--quiet", "-a", "-m", f"change {number}", at=clone, env=IDENTITY)
        yield clone


@pytest.fixture
def places() -> Iterator[Places]:
    with new_places() as found:
        yield found


def test_the_commit_that_costs_a_percent_is_found(places: Places) -> None:
    with cloned(places) as clone:
        # No commit changes what the image is made of: all use the one that is there.
        assert source_hash(clone, "guest") == source_hash(paths.PROJECT, "guest")
        head = git("rev-parse", "HEAD", at=clone).stdout
        culprit = git("rev-parse", f"HEAD~{COMMITS - CULPRIT}", at=clone).stdout.strip()
        ringbed = Ringbed(places, [str(clone / "ringbed")])
        words = ("bisect", f"HEAD~{COMMITS}", "HEAD", *TRIAL, "--metric", METRIC, "--json")
        done = ringbed(*words, seconds=3600)
        print(done.out, done.err, flush=True)
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert told["first_bad"] == culprit
        # Both ends, and as many as a search by halves takes.
        assert len(told["tried"]) <= 2 + COMMITS.bit_length()
        assert all(one["verdict"] != "skipped" for one in told["tried"])
        assert git("rev-parse", "HEAD", at=clone).stdout == head
        assert not git("status", "--porcelain", at=clone).stdout
        assert git("worktree", "list", "--porcelain", at=clone).stdout.count("worktree ") == 1
    assert places.clean_within(), places.leftovers()
