# SPDX-License-Identifier: Apache-2.0
"""How sensitive verdicts are, as a table and as the page docs/detection-power.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.analysis import power as analysis
from orchestrator.analysis.power import Power, Sensitivity, alarmed, detected
from orchestrator.report.claims import markdown_table
from orchestrator.run.neutral import Kind
from orchestrator.spec import Suite

PAGE = "docs/detection-power.md"
KINDS = {
    Kind.PADDING: "NOPs between functions, never executed: all code lies elsewhere",
    Kind.ORDER: "the objects of each library in another order",
    Kind.ENVIRONMENT: "a larger environment of the server: its stack lies elsewhere",
}
TOTAL, USER = "instructions_per_request", "instructions_per_request_user"


def headers(share: float) -> list[str]:
    return [
        "metric",
        "neutral change, median>",
        "largest>",
        "threshold derived>",
        "in force>",
        "false alarms>",
        "without itself>",
        f"with {share:.0%} more work>",
        "found>",
        "surely seen>",
    ]


def row(one: Sensitivity) -> list[str]:
    return [
        one.metric,
        f"{one.middle:.2%}",
        f"{one.largest:.2%}",
        f"{one.derived:.1%}",
        f"{one.threshold:.1%}",
        f"{one.alarms} of {one.pairs}",
        f"{one.unseen} of {one.pairs}",
        f"{one.slowdown:+.2%}",
        f"{one.found} of {one.slowed}",
        f"{one.least:.1%}",
    ]


def headline(power: Power) -> str:
    return (
        f"{alarmed(power)} false alarms in {len(power.same)} neutral pairs; {power.share:.0%} more "
        f"instructions per request found in {detected(power)} of {len(power.slowed)} pairs"
    )


def page(power: Power, suite: Suite, source: Mapping[str, Any], command: str) -> str:
    """The text of PAGE. source: commit and state of the checkout that was measured."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    columns = [name.removesuffix(">") for name in headers(power.share)]
    apart, said = analysis.between_seeds(power, TOTAL)
    rows = analysis.sensitivities(power)
    program = next((one.slowdown for one in rows if one.metric == USER), 0.0)
    kinds: Mapping[str, tuple[float, float]] = {
        kind: (
            analysis.by_kind(power, TOTAL).get(kind, 0.0),
            analysis.by_kind(power, USER).get(kind, 0.0),
        )
        for kind in KINDS
    }
    return environment.get_template("power.md.j2").render(
        commit=source["commit"][:10],
        dirty=source["dirty"],
        command=command,
        headline=headline(power),
        table="\n".join(markdown_table(columns, [row(one) for one in rows])),
        neutral=len(power.same),
        slowed=len(power.slowed),
        share=_percent(power.share),
        of_program=_percent(program),
        seeds=_seeds(power),
        sets=analysis.SEED_SETS,
        suite=suite.name,
        cells=", ".join(_cells(power)),
        kinds=[
            (kind, what, f"{kinds[kind][0]:.2%}", f"{kinds[kind][1]:.2%}")
            for kind, what in KINDS.items()
        ],
        said=f"every such pair is “{'”, “'.join(sorted(said))}”, which no threshold decides",
        apart=f"{apart:.1%}",
    )


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _seeds(power: Power) -> int:
    """The fewest seeds on a side of any pair."""
    pairs = (*power.same, *power.slowed)
    return min(len(cell.valid) for pair in pairs for cell in (*pair.before, *pair.after))


def _cells(power: Power) -> list[str]:
    """The points that were measured, in words."""
    found = {}
    for pair in power.same:
        for cell in pair.before:
            key = cell.key
            load = "" if key.offered_rps is None else f" at {key.offered_rps:,.0f} requests/s"
            found[f"{key.variant}{load}"] = True
    return list(found)
