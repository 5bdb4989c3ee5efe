# SPDX-License-Identifier: Apache-2.0
"""Saturation is judged by what was due in the window, not by the nominal rate."""

import json
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, RunBuilder

from orchestrator.analysis import build_results
from orchestrator.analysis.saturation import keeps_up


@pytest.mark.parametrize(
    ("scheduled", "completed", "saturated"),
    [
        (80, 80, False),  # few arrivals by chance, all answered
        (80, 70, False),  # within the error of the count
        (120, 60, True),
        (105, 75, True),
    ],
)
def test_the_window_decides(
    tmp_path: Path, scheduled: int, completed: int, saturated: bool
) -> None:
    run = RunBuilder(tmp_path)
    file = run.trial(QUICKSTART[0], 100.0, 0) / "load.json"
    load = json.loads(file.read_text())
    load |= {"scheduled": scheduled, "achieved_rps": float(completed)}
    file.write_text(json.dumps(load))
    results = build_results(run.finish())
    assert results.summaries[0].saturated is saturated


def test_long_windows_allow_a_share_and_repetitions_count_together() -> None:
    assert keeps_up([(96_000.0, 100_000)]) and not keeps_up([(94_000.0, 100_000)])
    assert keeps_up([(82.0, 100)]) and not keeps_up([(82.0, 100)] * 4)
