# SPDX-License-Identifier: Apache-2.0
"""Reads back what a run keeps about itself: its plan, with what was asked, and its manifest.

Both are written whole or not at all, but a run can be killed before it has them, and files can be
harmed by others. Then a run cannot go on, and the error says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.run.directory import RunDirectory

_PLAN = {"selection": dict, "inputs": dict, "trials": list}
_SELECTION = {
    "overrides": list,
    "only": list,
    "repeat": (int, type(None)),
    "seed": (int, type(None)),
}
_MANIFEST = {"machines": dict, "sessions": list}


def read_plan(run: RunDirectory) -> dict[str, Any]:
    """plan.json. Raises UsageError when it is missing or damaged."""
    plan = _read(run, run.plan, _PLAN)
    _check(run, run.plan, plan["selection"], _SELECTION)
    return plan


def read_manifest(run: RunDirectory) -> dict[str, Any]:
    """manifest.json. Raises UsageError when it is missing or damaged."""
    return _read(run, run.manifest, _MANIFEST)


def _read(run: RunDirectory, path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _error(run, f"has no {path.name}: it ended before its first trial") from None
    except ValueError as error:
        raise _error(run, f"has a damaged {path.name}: {error}") from None
    if not isinstance(data, dict):
        raise _error(run, f"has a damaged {path.name}: it holds no object")
    _check(run, path, data, wanted)
    return data


def _check(run: RunDirectory, path: Path, data: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, kind in wanted.items():
        if key not in data or not isinstance(data[key], kind):
            raise _error(run, f"has a damaged {path.name}: {key!r} is not what it must be")


def _error(run: RunDirectory, what: str) -> UsageError:
    experiment = run.experiment if run.experiment.exists() else "EXPERIMENT"
    return UsageError(
        f"{run.name} {what}",
        hint=f"it cannot go on; start it anew: ./ringbed run {experiment}",
    )
