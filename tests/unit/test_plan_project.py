# SPDX-License-Identifier: Apache-2.0
"""The project's experiments can be run as they are on any host, with KVM and without."""

import pytest

from orchestrator import paths
from orchestrator.run.compose import Drivers
from orchestrator.run.plan import make_plan
from orchestrator.spec import find_experiment, load_experiment
from orchestrator.spec.model import Clock

NAMES = sorted(path.parent.name for path in paths.project("experiments").glob("*/experiment.yml"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_an_experiment_can_be_run_whichever_clock_the_host_chooses(name: str, clock: Clock) -> None:
    made = make_plan(load_experiment(find_experiment(name), clock=clock), Drivers(), inputs={})
    assert made.trials
