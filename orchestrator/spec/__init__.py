# SPDX-License-Identifier: Apache-2.0
"""WHAT: an experiment file as frozen models. Everything above this package may import it."""

from orchestrator.spec.loading import (
    Checked,
    check_experiment,
    dump_experiment,
    find_experiment,
    load_experiment,
    render_experiment,
)
from orchestrator.spec.model import Experiment
from orchestrator.spec.reference import render_reference
from orchestrator.spec.schema import json_schema

__all__ = [
    "Checked",
    "Experiment",
    "check_experiment",
    "dump_experiment",
    "find_experiment",
    "json_schema",
    "load_experiment",
    "render_experiment",
    "render_reference",
]
