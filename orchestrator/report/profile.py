# SPDX-License-Identifier: Apache-2.0
"""The files of a profile: a table, call stacks for other tools, and a flame graph per machine."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.analysis.instructions import HOUSE
from orchestrator.analysis.profile import Profile, by_machine
from orchestrator.analysis.symbols import UNKNOWN
from orchestrator.report import formats
from orchestrator.report.flamegraph import flamegraph
from orchestrator.report.writer import replace_file


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
            requests=profile.requests,
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
    """All of a profile but its call stacks, for programs."""
    functions = by_machine(profile.table())
    return {
        "schema": 1,
        **about,
        "requests": profile.requests,
        "machines": {
            name: {
                "cpus": list(cpus),
                "instructions": profile.tree.total(cpus),
                "unknown_share": unknown_share(functions, name),
            }
            for name, cpus in sorted(profile.machines.items())
        },
        "functions": functions.to_dict(orient="records"),
    }


def unknown_share(functions: pd.DataFrame, machine: str) -> float:
    """The share of a machine's instructions that no function could be found for."""
    mine = functions[functions["machine"] == machine]
    whole = int(mine["self"].sum())
    unknown = int(mine.loc[mine["function"] == UNKNOWN, "self"].sum())
    return unknown / whole if whole else 0.0


def _subtitle(profile: Profile, machine: str, about: dict[str, Any]) -> str:
    whole = profile.tree.total(profile.machines[machine])
    parts = [f"{whole:,} instructions of the measured phase"]
    if profile.requests:
        each = formats.significant(whole / profile.requests, 4)
        parts.append(f"{each} per request ({profile.requests:,} requests)")
    return " · ".join([*parts, "every instruction counted", f"trial {about['trial']}"])
