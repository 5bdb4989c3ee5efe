# SPDX-License-Identifier: Apache-2.0
"""The virtual clock: the same bytes, however often and from wherever a trial starts."""

import hashlib
import json
from pathlib import Path

import pytest
from leftovers import Places, Ringbed

from orchestrator.run.directory import RunDirectory

pytestmark = pytest.mark.vm

OPTIONS = ("--set", "clock=virtual", "--set", "duration=50ms", "--set", "matrix.load=[4000]")


def outputs(run: RunDirectory) -> dict[str, str]:
    """The digest of every raw file of every trial."""
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run.path / "trials").rglob("*"))
        if path.is_file()
    }


def run(ringbed: Ringbed, tiny: str, *options: str) -> RunDirectory:
    done = ringbed("run", tiny, "--json", *OPTIONS, *options, seconds=400)
    assert done.code == 0, done.err
    return RunDirectory(path=Path(json.loads(done.out)["path"]))


def test_two_runs_give_the_same_bytes(ringbed: Ringbed, places: Places, tiny: str) -> None:
    first = outputs(run(ringbed, tiny, "--repeat", "2"))
    # In another order, two at a time, and not all of them: trials do not know of each other.
    second = outputs(run(ringbed, tiny, "--repeat", "2", "--jobs", "2"))
    assert first == second
    assert len({digest for path, digest in first.items() if path.endswith("load.json")}) == 2
    assert places.clean_within(), places.leftovers()
