# SPDX-License-Identifier: Apache-2.0
"""A trial of a run is measured again as it was measured there."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.host.accelerator import Accelerator, Kind
from orchestrator.run import directory, retrial, session
from orchestrator.run.compose import Drivers, record
from orchestrator.run.directory import RunDirectory
from orchestrator.run.plan import Plan, make_plan
from orchestrator.run.retrial import Retrial, from_run
from orchestrator.run.session import Selection
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.spec.model import Clock


def planned(runs: Path, clock: Clock, overrides: Sequence[str] = ()) -> tuple[RunDirectory, Plan]:
    """A run of quickstart, which leaves the clock open, as it is before its first trial."""
    file = find_experiment("quickstart")
    plan = make_plan(load_experiment(file, overrides, clock=clock), Drivers(), inputs={})
    with directory.create(runs, "quickstart") as run:
        shutil.copyfile(file, run.experiment)
    selection = {"overrides": list(overrides), "only": [], "repeat": None, "seed": None}
    run.plan.write_text(json.dumps({**plan.to_json(), "selection": selection}))
    trials = [record(trial) for trial in plan.trials]
    run.manifest.write_text(json.dumps({"machines": {}, "sessions": [], "trials": trials}))
    run.trial(plan.trials[0].id).mkdir(parents=True)
    return run, plan


def again(runs: Path, run: RunDirectory, plan: Plan) -> Retrial:
    found = from_run(runs, f"{run.name}/{plan.trials[0].id}", "latency_p50")
    assert found is not None
    return found


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_a_trial_again_has_the_clock_of_its_run(tmp_path: Path, clock: Clock) -> None:
    found = again(tmp_path, *planned(tmp_path, clock))
    assert found.experiment.clock == clock
    # Whatever another commit, or the host by then, would choose.
    other: Clock = "wall" if clock == "virtual" else "virtual"
    file = find_experiment("quickstart")
    assert load_experiment(file, found.selection.overrides, clock=other).clock == clock
    assert f"--set clock={clock}" in str(found)


def test_what_was_asked_of_the_run_is_asked_again(tmp_path: Path) -> None:
    found = again(tmp_path, *planned(tmp_path, "virtual", ["clock=auto", "duration=50ms"]))
    assert found.selection.overrides == ("clock=auto", "duration=50ms", "clock=virtual")
    assert found.experiment.clock == "virtual"
    assert found.experiment.duration_ns == 50_000_000


@pytest.mark.parametrize(("kind", "clock"), [("tcg", "virtual"), ("kvm", "wall")])
def test_an_experiment_that_leaves_the_clock_open_gets_that_of_this_host(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, clock: Clock
) -> None:
    here = Accelerator(kind=kind, proof="none", reason="as told")
    monkeypatch.setattr(session, "known_accelerator", lambda: here)
    found = retrial.from_experiment("quickstart", Selection(), "latency_p50")
    assert found.experiment.clock == clock
    assert found.selection.overrides == (f"clock={clock}",)
    other = Selection(overrides=("clock=virtual",))
    asked = retrial.from_experiment("quickstart", other, "latency_p50")
    assert asked.selection == other
    assert asked.experiment.clock == "virtual"
