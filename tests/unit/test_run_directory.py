# SPDX-License-Identifier: Apache-2.0
"""Names in the directory of a run."""

import pytest

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
