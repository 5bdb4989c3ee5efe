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
from orchestrator.spec.suite import Part, Suite, SuiteEntry, find_suite, load_suite

__all__ = [
    "Checked",
    "Experiment",
    "Part",
    "Suite",
    "SuiteEntry",
    "check_experiment",
    "dump_experiment",
    "find_experiment",
    "find_suite",
    "json_schema",
    "load_experiment",
    "load_suite",
    "render_experiment",
    "render_reference",
]
