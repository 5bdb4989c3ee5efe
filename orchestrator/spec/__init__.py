# SPDX-License-Identifier: Apache-2.0
"""WHAT: an experiment file as frozen models. Everything above this package may import it."""

from orchestrator.spec.loading import (
    Checked,
    check_experiment,
    dump_experiment,
    find_experiment,
    load_experiment,
)
from orchestrator.spec.model import Experiment

__all__ = [
    "Checked",
    "Experiment",
    "check_experiment",
    "dump_experiment",
    "find_experiment",
    "load_experiment",
]
