# SPDX-License-Identifier: Apache-2.0
"""A second generator's figures stand beside ours of the same point."""

import json
from pathlib import Path

from simulated_run import QUICKSTART, RunBuilder

from orchestrator.analysis import build_results
from orchestrator.report import formats
from orchestrator.report.page import crosschecks


def test_points_are_found_where_another_axis_is_varied(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    for think in ("1ms", "2ms"):
        for kind in ("measure", "crosscheck"):
            path = run.trial(QUICKSTART[2], 500.0, 0, kind=kind) / "trial.json"
            trial = json.loads(path.read_text())
            trial["axes"] = {"workload.think_time": think}
            path.write_text(json.dumps(trial))
    rows = crosschecks(build_results(run.finish()))
    throughput = [row for row in rows if row.metric == "achieved_rps"]
    assert [row.workload.rpartition(", ")[2] for row in throughput] == [
        "think_time 1ms",
        "think_time 2ms",
    ]
    assert all(row.ours != formats.NOTHING for row in rows)
