# SPDX-License-Identifier: Apache-2.0
"""The files of a profile: a table, call stacks for other tools, and a flame graph per machine."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.analysis.instructions import HOUSE
from orchestrator.analysis.profile import Profile
from orchestrator.analysis.symbols import UNKNOWN
from orchestrator.report import formats
from orchestrator.report.flamegraph import flamegraph
from orchestrator.report.writer import replace_file

POLLS = "polls without rest: what it executes tells nothing of a request"


def write_profile(into: Path, profile: Profile, about: dict[str, Any]) -> dict[str, Path]:
    """Write profile.csv and .json, and for each machine folded stacks and a flame graph; the
    graphs by machine. about: of the trial, for the titles and profile.json."""
    into.mkdir(parents=True, exist_ok=True)
    table = profile.table()
    replace_file(into / "profile.csv", table.to_csv(index=False).encode())
    data = json.dumps(to_json(profile, about), indent=1, ensure_ascii=False)
    replace_file(into / "profile.json", f"{data}\n".encode())
    graphs = {}
    for machine in graphed(profile):
        replace_file(into / f"folded-{machine}.txt", profile.folded(machine).encode())
        graphs[machine] = into / f"flamegraph-{machine}.svg"
        svg = flamegraph(
            profile.of_machine(machine),
            title=f"{machine}: {about['label']}",
            subtitle=_subtitle(profile, machine, about),
            requests=profile.divisor(machine),
        )
        replace_file(graphs[machine], svg.encode())
    return graphs


def graphed(profile: Profile) -> list[str]:
    """The machines that have anything to show, but for the house, which is at rest."""
    return [
        name
        for name, cpus in sorted(profile.machines.items())
        if name != HOUSE and profile.tree.total(cpus)
    ]


def to_json(profile: Profile, about: dict[str, Any]) -> dict[str, Any]:
    """All of a profile but its call stacks, for programs; null: there is no such value."""
    functions = profile.by_machine()
    return {
        "schema": 1,
        **about,
        "requests": profile.requests,
        "machines": {
            name: {
                "cpus": list(cpus),
                "polls": name in profile.polling,
                "instructions": profile.tree.total(cpus),
                "idle_instructions": profile.idled(name),
                "unknown_share": unknown_share(functions, name),
            }
            for name, cpus in sorted(profile.machines.items())
        },
        "functions": [
            {key: None if _is_nan(value) else value for key, value in row.items()}
            for row in functions.to_dict(orient="records")
        ],
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def unknown_share(functions: pd.DataFrame, machine: str) -> float:
    """The share of a machine's instructions that no function could be found for."""
    mine = functions[functions["machine"] == machine]
    whole = int(mine["self"].sum())
    unknown = int(mine.loc[mine["function"] == UNKNOWN, "self"].sum())
    return unknown / whole if whole else 0.0


def _subtitle(profile: Profile, machine: str, about: dict[str, Any]) -> str:
    whole = profile.tree.total(profile.machines[machine])
    parts = [f"{whole:,} instructions of the measured phase"]
    if idle := profile.idled(machine):
        parts.append(f"without {idle:,} of turns that found nothing to do")
    if requests := profile.divisor(machine):
        each = formats.significant(whole / requests, 4)
        parts.append(f"{each} per request ({requests:,} requests)")
    elif machine in profile.polling:
        parts.append(POLLS)
    return " · ".join([*parts, "every instruction counted", f"trial {about['trial']}"])
