# SPDX-License-Identifier: Apache-2.0
"""Names in the directory of a run."""

from pathlib import Path

import pytest

from orchestrator.run import directory
from orchestrator.run.directory import RunDirectory


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("journal.jsonl", True),
        ("trials/a.trace", True),
        ("run.lock", True),
        ("arrivals.trace", False),
        ("traces/journal.jsonl", False),
    ],
)
def test_names_of_its_own_are_not_for_copies(name: str, taken: bool) -> None:
    assert RunDirectory.is_taken(name) is taken


def test_a_trial_is_found_by_its_run_and_by_itself(tmp_path: Path) -> None:
    for name, trial in (("20260101T000000Z-a-1", "aa"), ("20260102T000000Z-a-2", "bb")):
        (tmp_path / name / "trials" / trial).mkdir(parents=True)
    found = directory.find_trial(tmp_path, "a-1/aa")
    assert found is not None and (found[0].name, found[1]) == ("20260101T000000Z-a-1", "aa")
    assert directory.find_trial(tmp_path, "bb") is not None
    for name, trial in (("20260101T000000Z-a-1", "c475ce3a"), ("20260102T000000Z-a-2", "c475ce4b")):
        (tmp_path / name / "trials" / trial).mkdir()
    for wanted in ("c475ce3", "a-1/c475ce"):
        short = directory.find_trial(tmp_path, wanted)
        assert short is not None and short[1] == "c475ce3a"
    for wrong in ("c475", "c475ce", "a-2/c475ce3", "a-1/bb", "nosuch/aa", "cc", "a-1/"):
        assert directory.find_trial(tmp_path, wrong) is None
