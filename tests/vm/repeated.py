# SPDX-License-Identifier: Apache-2.0
"""Runs that repeat each of their trials."""

import json
from pathlib import Path

from leftovers import Ringbed

from orchestrator.run.directory import RunDirectory

# Each trial three times, one of them beside stress-ng.
SECONDS = 900.0
ONE_EACH = ("--set", "accounting=false")


def directory(told: str) -> RunDirectory:
    """The run that `run --json` tells of."""
    return RunDirectory(path=Path(json.loads(told)["path"]))


def same_bytes(ringbed: Ringbed, experiment: str, *options: str) -> RunDirectory:
    """A run whose trials have left the same bytes on one core and on a busy host."""
    # A trial whose system calls are counted is one more, repeated as well.
    words = ("run", experiment, "--json", *options, *ONE_EACH, "--verify-deterministic")
    done = ringbed(*words, seconds=SECONDS)
    assert done.code == 0, done.err
    run = directory(done.out)
    verdicts = json.loads((run.path / "determinism.json").read_text())["verdicts"]
    assert [verdict["condition"] for verdict in verdicts] == ["one core", "busy host"]
    assert [verdict["differences"] for verdict in verdicts] == [[], []]
    return run
